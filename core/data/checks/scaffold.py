"""The template's own text around the answers: what of it carries loss although the model never writes it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from core.data.checks.facts import Note, RowFacts, shown

# What a generation prompt may write of the answer itself: blanks, an open or an empty think block.
_OF_THE_ANSWER = re.compile(r"(?:\s|</?think>)*")


@dataclass(frozen=True, slots=True)
class _Gap:
    """Characters [start, end) between two turns; `answer`: what follows is an assistant turn."""

    start: int
    end: int
    answer: bool


def scaffold_notes(facts: RowFacts) -> Iterator[Note]:
    """At most one note of each kind per row; none where the setting asks for everything."""
    if facts.draft.loss.mode in ("all", "response-template", "roles", "flags") or not facts.trained.any():
        return
    found: dict[str, str] = {}
    for gap in _gaps(facts):
        text = _trained_text(facts, gap)
        if not gap.answer:
            if text.strip():
                found.setdefault("next-turn-in-loss", text.strip())
        elif text:
            code = "supplied-in-loss" if _OF_THE_ANSWER.fullmatch(text) else "header-in-loss"
            found.setdefault(code, text)
    for code, text in found.items():
        yield Note(code, facts.row, f'"{shown(text)}"')


def _gaps(facts: RowFacts) -> Iterator[_Gap]:
    """What lies before every assistant turn and before every text of another role.

    Where the prompt alone is rendered otherwise, what it supplies is not known, and that is told by itself.
    """
    position = 0
    for start, end, answer, known in _owned(facts):
        if start > position and known:
            yield _Gap(position, start, answer)
        position = max(position, end)


def _owned(facts: RowFacts) -> list[tuple[int, int, bool, bool]]:
    """Assistant turns, from the end of their prompt through their stop token, and the texts of other roles.

    A turn whose texts the template dropped owns nothing: what is left of it is scaffold of the next.
    """
    alignment = facts.draft.alignment
    if alignment is None:
        return []
    skeleton = alignment.skeleton
    dropped = {skeleton.fields[number].message for number in skeleton.missing}
    printed = {field.message for field, _, _ in facts.fields()}
    turns = [
        (alignment.at(turn.start), alignment.at(turn.end), True, turn.prompt_is_prefix)
        for turn in skeleton.turns
        if turn.role == "assistant" and (turn.message in printed or turn.message not in dropped)
    ]
    return sorted(
        turns
        + [(start, end, False, True) for field, start, end in facts.fields() if field.role != "assistant"]
    )


def _trained_text(facts: RowFacts, gap: _Gap) -> str:
    """Text of the gap under trained tokens. A token that begins in the gap and ends in the answer counts if what
    of it lies in the gap is more than blanks: those merge with the answer's own and are told elsewhere."""
    text = facts.rendering.text
    near = facts.touching(gap.start, gap.end)
    if not facts.trained[near].any():
        return ""
    pieces = []
    for token in range(*near.indices(len(facts.ids))):
        if not facts.trained[token]:
            continue
        start, end = max(int(facts.starts[token]), gap.start), min(int(facts.ends[token]), gap.end)
        whole = gap.start <= facts.starts[token] and facts.ends[token] <= gap.end
        if whole or (gap.answer and facts.starts[token] >= gap.start and text[start:end].strip()):
            pieces.append(text[start:end])
    return "".join(pieces)
