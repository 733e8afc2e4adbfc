"""A run in a few lines of the terminal, redrawn in place; what stays worth knowing scrolls by above.

For `tunedeck watch` and `--wait` in a terminal. In a pipe there is one line per event instead. No Textual here.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO

from core.runs.cost import cost, price_per_hour
from core.runs.events import read_events
from core.runs.folder import Run
from core.runs.record import Record
from core.runs.state import RunState, read_state
from tui.commands.run_lines import line_of
from tui.widgets.marks import mark
from tui.widgets.numbers import count, dollars, duration, figure, gib, share
from tui.widgets.text import cut, visible, wrap

READ_SECONDS = 0.5
STATE_SECONDS = 2.0
LASTING = ("eval", "checkpoint", "sample", "warning", "error", "control")
BLOCKS = "▁▂▃▄▅▆▇█"
SPARK_CELLS = 32


def is_possible(stream: TextIO) -> bool:
    """Whether lines can be redrawn there."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def follow_in_place(run: Run, stream: TextIO | None = None) -> None:
    """Show the run until it has ended. Leaving (ctrl-c) leaves the run alone."""
    view = InPlace(stream or sys.stderr)
    record, offset, price = Record(), 0, price_per_hour(run)
    state, next_look = read_state(run.folder), 0.0
    while True:
        first = not offset
        events, offset = read_events(run.folder, offset)
        record.add(events)
        ends = any(event["kind"] in ("end", "status") for event in events)
        if ends or time.monotonic() >= next_look:
            state = read_state(run.folder)
            next_look = time.monotonic() + STATE_SECONDS
        # What happened before one came is in the lines below already.
        lasting = [] if first else [line_of(event) for event in events if event["kind"] in LASTING]
        view.show(lasting, lines_of(state, record, price))
        if state.ended:
            return
        time.sleep(READ_SECONDS)


class InPlace:
    """Some lines at the bottom that are written over, and lines above them that stay."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._drawn: list[str] = []

    def show(self, lasting: Sequence[str], lines: Sequence[str]) -> None:
        """Nothing is sent when nothing has changed."""
        width = shutil.get_terminal_size((80, 24)).columns
        below = [cut(line, width - 1) for line in lines]
        above = [line for text in lasting if text for line in wrap(visible(text, lines=True), width - 1)]
        if not above and below == self._drawn:
            return
        up = f"\x1b[{len(self._drawn)}F" if self._drawn else ""
        self.stream.write(up + "".join(f"{line}\x1b[K\n" for line in (*above, *below)))
        self.stream.flush()
        self._drawn = below


def lines_of(state: RunState, record: Record, price_per_hour: float | None) -> list[str]:
    """How the run stands, in five lines."""
    step, steps = record.step or state.step, record.steps or state.steps or 0
    last, loss = record.last, record.curves["loss"]
    left = last.get("eta_seconds") if state.state == "running" else None
    seconds = record.lived_seconds or state.seconds
    spent = cost(price_per_hour, seconds)
    head = [mark(state.state), visible(state.id), f"step {step}/{steps or '?'}", share(step, steps)]
    head += [f"{duration(left)} left"] if left is not None else [duration(seconds)]
    head += [dollars(spent)] if spent is not None else []
    peak = last.get("peak_allocated_bytes") or state.peak_allocated_bytes
    planned = record.planned_peak_bytes or state.planned_peak_bytes
    memory = (
        f"peak {gib(peak)} of {gib(planned)} planned"
        if peak
        else f"host peak {gib(last.get('peak_rss_bytes'))}"
    )
    smoothed = loss.smoothed[-1] if loss.smoothed else None
    return [
        "  ".join(head),
        f"  loss {figure(loss.last)}  smoothed {figure(smoothed)}  eval {figure(record.curves['eval_loss'].last)}"
        f"  {spark(loss.smoothed)}",
        f"  rate {figure(last.get('learning_rate'), 3)}  grad {figure(last.get('grad_norm'), 3)}  "
        f"{count(last.get('tokens_per_second'))} tokens/s  {memory}",
        f"  {_newest(state, record)}",
        "  ctrl-c leaves; the run goes on" if not state.ended else "",
    ]


def spark(values: Sequence[float], cells: int = SPARK_CELLS) -> str:
    """The course of the values in one line of that many cells; values that are not finite are left out."""
    finite = [value for value in values if value == value and abs(value) != float("inf")]
    if not finite:
        return ""
    size = min(cells, len(finite))
    parts = [finite[len(finite) * n // size : len(finite) * (n + 1) // size] for n in range(size)]
    means = [sum(part) / len(part) for part in parts]
    low, span = min(means), max(means) - min(means)
    return "".join(BLOCKS[round((mean - low) / span * (len(BLOCKS) - 1)) if span else 0] for mean in means)


def _newest(state: RunState, record: Record) -> str:
    """Why it ended, else the newest warning or error."""
    if state.what:
        return visible(state.what)
    told: list[dict[str, Any]] = [event for event in record.notes if event["kind"] in ("warning", "error")]
    return visible(f"! {told[-1].get('what', '')}") if told else ""
