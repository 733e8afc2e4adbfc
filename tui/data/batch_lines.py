"""What the Batch tab says of a batch: totals, tensors with shapes, a strip per sequence, the place under the cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.data.tokens import Cause, Tokens
from core.data.types import IGNORED, Token
from tui.widgets.text import visible
from tui.widgets.token_layout import readable

if TYPE_CHECKING:
    from core.data.batch import Batch, Stretch

TRAINED, MASKED, PAD = "█", "░", "·"
_NUMBERS_SHOWN = 8


def head_lines(batch: Batch, packing: str) -> tuple[str, str]:
    """Which batch it is, and what it wastes."""
    drawn = "shuffled with the run's seed" if batch.shuffled else "in the order of the rows"
    how = (
        "padded"
        if packing == "none"
        else f"packing {packing}, {'padding-free' if batch.padding_free else 'padded'}"
    )
    return (
        f"batch {batch.number:,} of {batch.batches:,} per epoch, {drawn}; {how}",
        f"{batch.places:,} places: {batch.real_tokens:,} tokens, {batch.trained_tokens:,} trained, "
        f"{batch.waste:.0%} padding",
    )


def tensor_lines(batch: Batch) -> list[str]:
    """Names, shape and type, alike ones on one line; of the boundaries (cu_seq_lens) the numbers too."""
    alike: dict[str, list[str]] = {}
    for name, value in batch.tensors.items():
        alike.setdefault(_described(value), []).append(name)
    return [f"{', '.join(names)}: {what}" for what, names in alike.items()]


def _described(value: object) -> str:
    if not isinstance(value, np.ndarray):
        return str(value)
    shape = " x ".join(map(str, value.shape))
    if value.ndim != 1:
        return f"{shape} {value.dtype}"
    numbers = value.tolist()
    if len(numbers) > _NUMBERS_SHOWN:
        numbers = [*numbers[: _NUMBERS_SHOWN - 1], "…", numbers[-1]]
    return f"{shape} {value.dtype}  {' '.join(map(str, numbers))}"


def real_places(batch: Batch, stretch: Stretch) -> np.ndarray:
    """Which places of a stretch are no padding, bool [places]."""
    attention = batch.tensors.get("attention_mask")
    if attention is None:
        return np.ones(stretch.end - stretch.start, dtype=bool)
    return np.atleast_2d(attention)[stretch.line, stretch.start : stretch.end].astype(bool)


def labels_of(batch: Batch, stretch: Stretch) -> np.ndarray:
    """int64 [places]."""
    return np.atleast_2d(batch.tensors["labels"])[stretch.line, stretch.start : stretch.end]


def counted(batch: Batch, stretch: Stretch) -> tuple[int, int]:
    """Tokens and trained tokens of a stretch."""
    return int(real_places(batch, stretch).sum()), int((labels_of(batch, stretch) != IGNORED).sum())


def owners(stretch: Stretch) -> str:
    """The source rows of a stretch."""
    return ("rows " if len(stretch.rows) > 1 else "row ") + ",".join(map(str, stretch.rows))


def strip(batch: Batch, stretch: Stretch, step: int) -> str:
    """A line of marks, each for `step` places: the rarest kind in a cell wins."""
    labels, real = labels_of(batch, stretch), real_places(batch, stretch)
    marks = []
    for first in range(0, len(labels), step):
        part = slice(first, first + step)
        if (labels[part] != IGNORED).any():
            marks.append(TRAINED)
        else:
            marks.append(MASKED if real[part].any() else PAD)
    return "".join(marks)


_CAUSES = (
    Cause("", -1, "", "it carries loss"),
    Cause("", -1, "", "masked; enter on the sequence shows why, in its row"),
    Cause("", -1, "", "the first token of a row: its label would cross the boundary"),
    Cause("", -1, "pad", "padding carries no loss and is not attended to"),
)
_CARRIES, _MASKED, _BOUNDARY, _PADDING = range(len(_CAUSES))


def tokens_of(batch: Batch, stretch: Stretch) -> Tokens:
    """The places of a stretch as tokens; padding is a part of its own."""
    ids = np.atleast_2d(batch.tensors["input_ids"])[stretch.line, stretch.start : stretch.end]
    labels = labels_of(batch, stretch)
    cause = np.where(labels != IGNORED, _CARRIES, _MASKED)
    if batch.padding_free and cause[0] == _MASKED:
        cause[0] = _BOUNDARY
    cause[~real_places(batch, stretch)] = _PADDING
    different, piece = np.unique(ids, return_inverse=True)
    pieces = tuple(batch.texts.get(id, b"") for id in different.tolist())
    places: np.ndarray = np.arange(len(ids), dtype=np.int32)
    return Tokens(ids, labels, places, places + 1, piece.reshape(-1), cause, pieces, _CAUSES)


def place_lines(batch: Batch, stretch: Stretch, place: int, token: Token) -> tuple[str, str]:
    """The place under the cursor: its token and label, and what every tensor holds there."""
    at = stretch.start + place
    state = "padding" if token.part == "pad" else "trained" if token.label != IGNORED else "not trained"
    held = "  ".join(
        f"{name} {int(np.atleast_2d(value)[stretch.line, at])}"
        for name, value in batch.tensors.items()
        if isinstance(value, np.ndarray) and value.ndim == 2 and name not in ("input_ids", "labels")
    )
    return (
        f'place {at} of line {stretch.line}  {owners(stretch)}  id {token.id}  "{visible(readable(token.data))}"  {held}',
        f"label {token.label}, {state}: {token.reason}",
    )
