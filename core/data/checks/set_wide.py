"""What is wrong with a row because of other rows: copies, one prompt with two answers, leaks, outliers, stray formats."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator

import numpy as np

from core.data.checks.facts import Note
from core.data.split import prompt_key, row_key
from core.data.types import Conversation

_OUTLIER_TIMES_P95 = 4
_STRAY_SHARE = 0.2  # a shape that fewer rows than this share is called stray
_RENAMED = re.compile(r":.*| is the .*")


class SetFacts:
    """Keys and lengths of all rows, a few numbers each, so that a million rows take tens of megabytes."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.row_keys: list[int] = []
        self.prompt_keys: list[int] = []
        self.answer_keys: list[int] = []
        self.lengths: dict[int, int] = {}
        self.shapes: dict[str, list[int]] = defaultdict(list)
        self.files: dict[int, str] = {}

    def add(self, conversation: Conversation, file: str) -> None:
        self.rows.append(conversation.row)
        self.row_keys.append(row_key(conversation))
        self.prompt_keys.append(prompt_key(conversation))
        self.answer_keys.append(hash(_first_answer(conversation)))
        self.shapes[f"{file}\0{_shape(conversation)}"].append(conversation.row)


def set_notes(facts: SetFacts, eval_keys: frozenset[int]) -> Iterator[Note]:
    """Notes that need the whole set. `eval_keys` are the prompt keys of a separate evaluation source."""
    copies = yield from _duplicates(facts)
    yield from _answered_twice(facts, copies)
    yield from _leaks(facts, eval_keys)
    yield from _outliers(facts)
    yield from _stray_shapes(facts)


def _duplicates(facts: SetFacts) -> Generator[Note, None, set[int]]:
    """Every copy after the first; returns the rows that are copies."""
    first: dict[int, int] = {}
    copies: set[int] = set()
    for row, key in zip(facts.rows, facts.row_keys, strict=True):
        earlier = first.setdefault(key, row)
        if earlier != row:
            copies.add(row)
            yield Note("duplicate-row", row, f"row {row} of row {earlier}")
    return copies


def _answered_twice(facts: SetFacts, copies: set[int]) -> Iterator[Note]:
    first: dict[int, tuple[int, int]] = {}
    for row, key, answer in zip(facts.rows, facts.prompt_keys, facts.answer_keys, strict=True):
        earlier, earlier_answer = first.setdefault(key, (row, answer))
        if row not in copies and earlier_answer != answer:
            yield Note("prompt-answered-twice", row, f"rows {earlier} and {row}")


def _leaks(facts: SetFacts, eval_keys: frozenset[int]) -> Iterator[Note]:
    for row, key in zip(facts.rows, facts.prompt_keys, strict=True):
        if key in eval_keys:
            yield Note("eval-leak", row)


def _outliers(facts: SetFacts) -> Iterator[Note]:
    if len(facts.lengths) < 20:
        return
    lengths = np.fromiter(facts.lengths.values(), dtype=np.int64)
    limit = _OUTLIER_TIMES_P95 * float(np.quantile(lengths, 0.95))
    for row, length in facts.lengths.items():
        if length > limit:
            yield Note(
                "length-outlier",
                row,
                f"row {row} has {length:,} tokens, 95 % of the rows have at most {limit / _OUTLIER_TIMES_P95:,.0f}",
            )


def _stray_shapes(facts: SetFacts) -> Iterator[Note]:
    """Rows of another shape than most rows of their file."""
    by_file: dict[str, Counter[str]] = defaultdict(Counter)
    for name, rows in facts.shapes.items():
        file, _, shape = name.partition("\0")
        by_file[file][shape] = len(rows)
    for file, counts in by_file.items():
        total = sum(counts.values())
        main, _ = counts.most_common(1)[0]
        for shape, count in counts.items():
            if shape != main and count < total * _STRAY_SHARE:
                for row in facts.shapes[f"{file}\0{shape}"]:
                    yield Note("mixed-formats", row, f"{shape}, most are {main}")


def _first_answer(conversation: Conversation) -> str:
    answers = (str(message.content) for message in conversation.messages if message.role == "assistant")
    return next(answers, conversation.completion)


def _shape(conversation: Conversation) -> str:
    """How a row was read, without what changes from row to row (role names, optional columns)."""
    how = _RENAMED.sub("", conversation.how)
    return f"{conversation.kind} ({how.split(',')[0].split(' and ')[0]})"
