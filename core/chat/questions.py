"""What an evaluation asks: taken from prepared rows, so it is exactly what training would learn from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.types import IGNORED


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """One prepared row: ids and labels of equal length, labels not shifted."""

    row: int
    input_ids: tuple[int, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """One answer to be generated: everything before a trained span, and the span itself."""

    number: int
    row: int
    prompt_ids: tuple[int, ...]
    expected_ids: tuple[int, ...]


def read_rows(folder: Path, limit: int | None = None) -> list[ScoredRow]:
    """Rows of a prepared folder that hold at least one label, in their order."""
    from datasets import load_from_disk

    rows: list[ScoredRow] = []
    for record in load_from_disk(str(folder)):
        labels = tuple(record["labels"])
        if any(label != IGNORED for label in labels[1:]):  # the first token is predicted by nothing
            rows.append(ScoredRow(int(record.get("row", len(rows))), tuple(record["input_ids"]), labels))
        if limit is not None and len(rows) >= limit:
            break
    return rows


def questions(rows: Sequence[ScoredRow]) -> list[Question]:
    """One question per trained span that has something before it: every assistant turn of a conversation."""
    found: list[Question] = []
    for row in rows:
        for start, end in trained_spans(row.labels):
            if start > 0:
                found.append(Question(len(found), row.row, row.input_ids[:start], row.input_ids[start:end]))
    return found


def trained_spans(labels: Sequence[int]) -> Iterator[tuple[int, int]]:
    """[start, end) of every run of labelled tokens."""
    start: int | None = None
    for index, label in enumerate([*labels, IGNORED]):
        if label != IGNORED and start is None:
            start = index
        elif label == IGNORED and start is not None:
            yield start, index
            start = None


def without_stop(ids: Sequence[int], stop_ids: Sequence[int]) -> tuple[int, ...]:
    """Ids up to the first stop token."""
    end = next((index for index, id in enumerate(ids) if id in stop_ids), len(ids))
    return tuple(ids[:end])


def text_of(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of an answer, as the chat shows it."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))
