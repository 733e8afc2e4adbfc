"""A batch as plain lines: its tensors with their values, and the text of every sequence with the trained part marked."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from tui.commands.check_lines import plural
from tui.widgets.text import visible

if TYPE_CHECKING:
    import numpy as np

    from core.data.batch import Batch, Stretch

_IGNORED = -100
_FIRST, _LAST = 12, 4  # values shown of a longer line


def batch_lines(batch: Batch, *, ids: bool = False) -> list[str]:
    """What the model gets in one micro-batch; with `ids` every value of every tensor."""
    drawn = "drawn as the trainer draws it" if batch.shuffled else "in the order of the rows"
    lines = [
        f"batch {batch.number} of {batch.batches:,} in epoch {batch.epoch}, {drawn}",
        f"{plural(batch.places, 'place')}, {plural(batch.real_tokens, 'token')}, {batch.trained_tokens:,} trained, "
        f"{batch.waste:.0%} padding" + (", padding-free" if batch.padding_free else ""),
        "",
    ]
    for name, value in batch.tensors.items():
        lines += _tensor(name, value, whole=ids)
    for number, stretch in enumerate(batch.stretches):
        lines += ["", *_sequence(batch, number, stretch)]
    return lines


def _tensor(name: str, value: object, *, whole: bool) -> list[str]:
    import numpy as np

    if not isinstance(value, np.ndarray):
        return [f"{name}: {value}"]
    head = f"{name}: {value.dtype} [{', '.join(map(str, value.shape))}]"
    return [head, *(f"  {_values(line, whole=whole)}" for line in value.reshape(-1, value.shape[-1]))]


def _values(line: np.ndarray, *, whole: bool) -> str:
    values = [str(item) for item in line.tolist()]
    if not whole and len(values) > _FIRST + _LAST + 1:
        values = [*values[:_FIRST], f"... {len(values) - _FIRST - _LAST:,} more ...", *values[-_LAST:]]
    return " ".join(values)


def _sequence(batch: Batch, number: int, stretch: Stretch) -> Iterator[str]:
    """One row of the source in its place: between ⟦ and ⟧ what carries loss."""
    places = slice(stretch.start, stretch.end)
    ids = batch.tensors["input_ids"][stretch.line, places].tolist()
    labels = batch.tensors["labels"][stretch.line, places].tolist()
    mask = batch.tensors.get("attention_mask")
    real = mask[stretch.line, places].tolist() if mask is not None else [1] * len(ids)
    kept = [(token, label) for token, label, is_real in zip(ids, labels, real, strict=True) if is_real]
    owners = ", ".join(map(str, stretch.rows))
    trained = sum(label != _IGNORED for _, label in kept)
    padding = f", {plural(len(ids) - len(kept), 'place')} of padding" if len(kept) < len(ids) else ""
    yield (
        f"sequence {number}: row{'s' * (len(stretch.rows) > 1)} {owners}, line {stretch.line}, places "
        f"{stretch.start:,} to {stretch.end - 1:,}: {plural(len(kept), 'token')}, {trained:,} trained{padding}"
    )
    text = ""
    for is_trained, run in groupby(kept, key=lambda pair: pair[1] != _IGNORED):
        piece = b"".join(batch.texts.get(token, b"") for token, _ in run).decode("utf-8", "replace")
        piece = visible(piece, lines=True).replace("\n", "⏎\n")
        text += f"⟦{piece}⟧" if is_trained else piece
    for line in text.split("\n"):
        yield f"  {line}".rstrip()
