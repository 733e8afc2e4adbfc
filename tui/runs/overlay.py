"""The curves of several runs over one another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from textual.message import Message

from core.runs.events import read_events
from core.runs.folder import Run
from core.runs.record import Record
from tui.runs.comparing import LETTERS
from tui.widgets.curve import CurveView, Plotted
from tui.widgets.text import cut, visible

METRICS = {
    "loss": "loss, smoothed",
    "eval_loss": "eval loss",
    "learning_rate": "learning rate",
    "grad_norm": "gradient norm",
    "tokens_per_second": "tokens/s",
}
NAME_CELLS = 24


@dataclass(frozen=True, slots=True)
class Read:
    """The curves of one run, and the size of the events they were read from."""

    size: int
    record: Record


class Curves(Message, bubble=False):
    """The curves of the runs that are to be drawn, by folder."""

    def __init__(self, read: dict[Path, Read]) -> None:
        super().__init__()
        self.read = read


class Overlay(CurveView):
    """`draw(read)` shows one line per run, each with its letter at the end."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.read: dict[Path, Read] = {}
        self.metric = "loss"
        self.log_scale = False

    def draw(self, read: dict[Path, Read]) -> None:
        self.read = read
        self._draw_lines()

    def next_metric(self) -> None:
        names = list(METRICS)
        self.metric = names[(names.index(self.metric) + 1) % len(names)]
        self._draw_lines()

    def switch_log_scale(self) -> None:
        self.log_scale = not self.log_scale
        self._draw_lines()

    def _draw_lines(self) -> None:
        lines = []
        for letter, read in zip(LETTERS, self.read.values(), strict=False):
            curve = read.record.curves[self.metric]
            values = curve.smoothed if self.metric == "loss" else curve.values
            lines.append((letter, list(zip(curve.steps, values, strict=True))))
        names = "  ".join(
            f"{letter} {cut(visible(folder.name), NAME_CELLS)}"
            for letter, folder in zip(LETTERS, self.read, strict=False)
        )
        title = f"{METRICS[self.metric]}{' (log)' if self.log_scale else ''}: {names}"
        self.plot(Plotted(title if names else "", named=tuple(lines), log_scale=self.log_scale))


def read_records(folders: Sequence[Path], before: Mapping[Path, Read]) -> dict[Path, Read]:
    """The curves of these runs; those whose events have not grown are taken as they were."""
    read = {}
    for folder in folders:
        known = before.get(folder)
        if known is None or _size(folder) != known.size:
            events, size = read_events(folder)
            known = Read(size, Record())
            known.record.add(events)
        read[folder] = known
    return read


def _size(folder: Path) -> int:
    try:
        return Run(folder).events.stat().st_size
    except OSError:
        return 0
