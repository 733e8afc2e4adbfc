"""The batch tab: the tensors that TRL's collator makes of any batch the trainer would draw, drawn as strips."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from textual.binding import Binding, BindingType

from core.data.types import IGNORED
from tui.deck import Deck
from tui.messages import JobFailed, JobResult
from tui.widgets.text_view import Line, TextView

if TYPE_CHECKING:
    from core.data.batch import Batch

TRAINED, MASKED, PAD = "█", "░", "·"
_MARGIN = 24
_NUMBERS_SHOWN = 24


class BatchView(TextView):
    """`open()` draws the batch; left and right take the one before and the next."""

    HELP = """
    One micro-batch as the model gets it: the rows are prepared, drawn in the trainer's order and put together by
    TRL's own collator. █ trained, ░ not trained, · padding, │ where a row of a pack begins.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right", "step(1)", "next batch"),
        Binding("left", "step(-1)", "batch before", show=False),
    ]

    def __init__(self, deck: Deck, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.deck = deck
        self.number = 0
        self.current: Batch | None = None
        self._job = 0

    def open(self) -> None:
        """Ask for the batch; the rows are prepared first, which is quick when they have been before."""
        if self.current is None:
            self.show([("preparing the rows and putting a batch together …", "muted")])
        self._job = self.deck.jobs.submit(
            self,
            "core.data.glance:batch",
            recipe=self.deck.recipe,
            number=self.number,
            workspace=self.deck.workspace.root,
        )

    def forget(self) -> None:
        """Another recipe: what was drawn holds no more."""
        self.number, self.current, self._job = 0, None, 0

    def action_step(self, step: int) -> None:
        if self.current is not None:
            self.number = min(max(self.number + step, 0), self.current.batches - 1)
            self.open()

    def on_job_result(self, message: JobResult) -> None:
        if message.job == self._job:
            self.current = message.value
            self.show(batch_lines(message.value, max(self.size.width, 40)))

    def on_job_failed(self, message: JobFailed) -> None:
        if message.job == self._job:
            self.show(
                [(line, "bad" if not place else "") for place, line in enumerate(message.what.split("\n"))]
            )

    def on_resize(self) -> None:
        if self.current is not None:
            self.show(batch_lines(self.current, max(self.size.width, 40)), keep_place=True)


def batch_lines(batch: Batch, width: int) -> list[Line]:
    """Totals, the tensors with their shapes, and one strip per sequence."""
    drawn = "shuffled with the run's seed" if batch.shuffled else "in the order of the rows"
    lines: list[Line] = [
        (f"batch {batch.number} of {batch.batches:,} per epoch, {drawn}", "heading"),
        (
            f"{batch.places:,} places: {batch.real_tokens:,} tokens, {batch.trained_tokens:,} trained, {batch.waste:.0%} padding",
            "",
        ),
        ("", ""),
    ]
    lines += [(f"{name:<16} {_shape(value)}", "") for name, value in batch.tensors.items()]
    lines.append(("", ""))
    labels, positions = np.atleast_2d(batch.tensors["labels"]), batch.tensors.get("position_ids")
    attention = batch.tensors.get("attention_mask")
    for number, row in enumerate(labels):
        real = (
            np.ones(len(row), dtype=bool)
            if attention is None
            else np.atleast_2d(attention)[number].astype(bool)
        )
        starts = (
            np.zeros(len(row), dtype=bool) if positions is None else np.atleast_2d(positions)[number] == 0
        )
        lines.append(
            (f"{_owners(batch, number):<20} {_strip(row, real, starts, max(width - _MARGIN, 10))}", "")
        )
        lines.append(
            (f"{'':20} {int(real.sum()):,} tokens, {int((row != IGNORED).sum()):,} trained", "muted")
        )
    return lines


def _owners(batch: Batch, number: int) -> str:
    """The source rows of one line; all of them where the collator joins the sequences into one."""
    owners = [row for rows in batch.rows for row in rows] if batch.padding_free else list(batch.rows[number])
    text = ("rows " if len(owners) > 1 else "row ") + ",".join(map(str, owners))
    return text if len(text) <= 20 else text[:19] + "…"


def _strip(labels: np.ndarray, real: np.ndarray, starts: np.ndarray, cells: int) -> str:
    """A line of marks, each for as many tokens as fit: the rarest kind in a cell wins, a start over all."""
    step = max(-(-len(labels) // cells), 1)
    marks = []
    for first in range(0, len(labels), step):
        part = slice(first, first + step)
        if first and starts[part].any():
            marks.append("│")
        elif (labels[part] != IGNORED).any():
            marks.append(TRAINED)
        else:
            marks.append(MASKED if real[part].any() else PAD)
    return "".join(marks)


def _shape(value: object) -> str:
    """A tensor's shape and type; short ones (cu_seq_lens) with their numbers."""
    if not isinstance(value, np.ndarray):
        return str(value)
    shape = " x ".join(map(str, value.shape))
    numbers = f"  {value.reshape(-1).tolist()}" if value.size <= _NUMBERS_SHOWN else ""
    return f"{shape} {value.dtype}{numbers}"
