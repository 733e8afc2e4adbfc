"""What is wrong with a row because of other rows: copies, one prompt with two answers, leaks, outliers, stray formats."""

from __future__ import annotations

import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator

import numpy as np

from core.data.checks.facts import Note
from core.data.checks.near_prompts import NearPrompts
from core.data.split import prompt_key, row_key
from core.data.types import Conversation

_OUTLIER_TIMES_P95 = 4
_STRAY_SHARE = 0.2  # a shape that fewer rows than this share is called stray
_RENAMED = re.compile(r":.*| is the .*")


class SetFacts:
    """Keys and lengths of all rows, a few numbers each, so that a million rows take about a hundred megabytes."""

    def __init__(self) -> None:
        self.rows = array("q")
        self.row_keys = array("q")
        self.prompt_keys = array("q")
        self.answer_keys = array("q")
        self.near = NearPrompts()
        self.measured = array("q")  # rows that have tokens, and how many
        self.lengths = array("q")
        self.shapes: dict[str, array[int]] = defaultdict(lambda: array("q"))

    def add(self, conversation: Conversation, file: str) -> None:
        self.rows.append(conversation.row)
        self.row_keys.append(row_key(conversation))
        self.prompt_keys.append(prompt_key(conversation))
        self.answer_keys.append(hash(_first_answer(conversation)))
        self.near.add(asked(conversation))
        self.shapes[f"{file}\0{_shape(conversation)}"].append(conversation.row)

    def measure(self, row: int, tokens: int) -> None:
        self.measured.append(row)
        self.lengths.append(tokens)


def set_notes(
    facts: SetFacts, eval_keys: frozenset[int], conversation_of: Callable[[int], Conversation]
) -> Iterator[Note]:
    """Notes that need the whole set. `eval_keys` are the prompt keys of a separate evaluation source;
    `conversation_of` reads a row again."""
    copies = yield from _duplicates(facts)
    yield from _answered_twice(facts, copies)
    yield from _nearly_answered_twice(facts, copies, conversation_of)
    yield from _leaks(facts, eval_keys)
    yield from _outliers(facts)
    yield from _stray_shapes(facts)


def asked(conversation: Conversation) -> str:
    """What the user asks before the first answer; a system text that all rows share does not count."""
    texts: list[str] = []
    for message in conversation.messages:
        if message.role == "assistant" and texts:
            break
        if message.role == "user":
            texts.append(str(message.content))
    return "\n".join(texts)


def _first_of(keys: array[int]) -> np.ndarray:
    """For every place the first place with an equal key, int64."""
    _, first, group = np.unique(np.frombuffer(keys, dtype=np.int64), return_index=True, return_inverse=True)
    places: np.ndarray = first[group]
    return places


def _duplicates(facts: SetFacts) -> Generator[Note, None, np.ndarray]:
    """Every copy after the first; returns which places are copies."""
    first = _first_of(facts.row_keys)
    copies: np.ndarray = first != np.arange(len(first))
    for place in np.flatnonzero(copies).tolist():
        row = facts.rows[place]
        yield Note("duplicate-row", row, f"row {row} is row {facts.rows[int(first[place])]} again")
    return copies


def _answered_twice(facts: SetFacts, copies: np.ndarray) -> Iterator[Note]:
    first = _first_of(facts.prompt_keys)
    answers = np.frombuffer(facts.answer_keys, dtype=np.int64)
    for place in np.flatnonzero((answers != answers[first]) & ~copies).tolist():
        row = facts.rows[place]
        yield Note("prompt-answered-twice", row, f"rows {facts.rows[int(first[place])]} and {row}")


def _nearly_answered_twice(
    facts: SetFacts, copies: np.ndarray, conversation_of: Callable[[int], Conversation]
) -> Iterator[Note]:
    """Prompts that differ in a few words and have different answers."""
    same = np.frombuffer(facts.prompt_keys, dtype=np.int64)
    for pair in facts.near.pairs(lambda place: asked(conversation_of(facts.rows[place])), same):
        if not copies[pair.later] and facts.answer_keys[pair.earlier] != facts.answer_keys[pair.later]:
            earlier, row = facts.rows[pair.earlier], facts.rows[pair.later]
            yield Note("near-prompt", row, f"rows {earlier} and {row}, {pair.shared:.0%} alike")


def _leaks(facts: SetFacts, eval_keys: frozenset[int]) -> Iterator[Note]:
    for row, key in zip(facts.rows, facts.prompt_keys, strict=True):
        if key in eval_keys:
            yield Note("eval-leak", row)


def _outliers(facts: SetFacts) -> Iterator[Note]:
    if len(facts.lengths) < 20:
        return
    lengths = np.frombuffer(facts.lengths, dtype=np.int64)
    usual = float(np.quantile(lengths, 0.95))
    for place in np.flatnonzero(lengths > _OUTLIER_TIMES_P95 * usual).tolist():
        row = facts.measured[place]
        yield Note(
            "length-outlier",
            row,
            f"row {row} has {lengths[place]:,} tokens, 95 % of the rows have at most {usual:,.0f}",
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
