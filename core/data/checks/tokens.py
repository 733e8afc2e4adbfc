"""What is wrong with the ids of a row: doubled and missing end tokens, control tokens and markup in content."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from core.data.checks.facts import ModelFacts, Note, RowFacts, shown

_LOOKS_SPECIAL = re.compile(
    r"<\|[A-Za-z0-9_ ]{1,40}\|>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>"
    r"|^###? ?(?:Instruction|Response|Input|Human|Assistant|User|System):|^(?:Human|Assistant|USER|ASSISTANT): ",
    re.MULTILINE,
)


def token_notes(facts: RowFacts, model: ModelFacts, texts: list[str]) -> Iterator[Note]:
    """Notes on the ids, and on markup inside the texts of the data."""
    yield from _ends(facts, model)
    yield from _outside(facts, model)
    yield from _markup(facts, model, texts)


def _ends(facts: RowFacts, model: ModelFacts) -> Iterator[Note]:
    ids, bos, ends = facts.ids, model.bos, model.end_ids
    if bos is not None and len(ids) > 1 and ids[0] == ids[1] == bos:
        yield Note("double-bos", facts.row)
    if facts.draft.plain and not model.tokenizer.eos_text:
        yield Note("missing-eos", facts.row)
    if not ends or facts.draft.source == "tokens" or len(ids) < 2:
        return
    blank_free = (
        [int(token) for token in ids if not _is_blank(model, int(token))]
        if facts.draft.plain
        else ids[-2:].tolist()
    )
    if len(blank_free) > 1 and blank_free[-1] == blank_free[-2] and blank_free[-1] in ends:
        yield Note("double-eos", facts.row, model.tokenizer.token_text(blank_free[-1]))


def _is_blank(model: ModelFacts, token: int) -> bool:
    return token not in model.tokenizer.special_ids and not model.tokenizer.token_text(token).strip()


def _outside(facts: RowFacts, model: ModelFacts) -> Iterator[Note]:
    rows = model.embedding_rows
    largest = max(int(facts.ids.max(initial=0)), int(facts.labels.max(initial=0)))
    if rows is not None and largest >= rows:
        yield Note("id-outside-embeddings", facts.row, f"{largest} of {rows}")


def _markup(facts: RowFacts, model: ModelFacts, texts: list[str]) -> Iterator[Note]:
    """Control tokens of this tokenizer inside the data, and markup of other models, which is only text here."""
    control = _control_pattern(model.control_texts)
    special = odd = ""
    for text in texts:
        if not special and control is not None and (match := control.search(text)):
            special = match[0]
        if not odd:
            found = (match[0] for match in _LOOKS_SPECIAL.finditer(text))
            odd = next((piece for piece in found if piece not in model.tokenizer.added), "")
    if special and not facts.draft.plain:
        yield Note("special-in-content", facts.row, shown(special))
    if odd:
        yield Note("looks-special", facts.row, f'"{shown(odd)}"')


@lru_cache(maxsize=4)
def _control_pattern(texts: tuple[str, ...]) -> re.Pattern[str] | None:
    return re.compile("|".join(map(re.escape, texts))) if texts else None
