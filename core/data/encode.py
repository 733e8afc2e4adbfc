"""Texts to ids, in batches, with the place of every token in its text.

Places are counted in characters or in UTF-8 bytes, whichever the engine gives exactly. They tile: what an
offset leaves out (a blank that an engine trims, a character that normalisation drops) belongs to the next
token, so that every character of the text has a token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from core.data.tokenizer import Tokenizer, as_ids

Unit = Literal["character", "byte"]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Ids of several texts, end to end, and the place of each token within its text.

    `rows` [texts + 1] gives the first token of every text. `starts` and `ends` [tokens] are counted from
    the beginning of the token's own text; None where places were not asked for or cannot be had.
    """

    ids: np.ndarray
    rows: np.ndarray
    starts: np.ndarray | None
    ends: np.ndarray | None
    unit: Unit = "character"

    def of(self, row: int) -> slice:
        return slice(int(self.rows[row]), int(self.rows[row + 1]))


class Encoder(Protocol):
    """What turns texts into ids. `name` is shown to the person."""

    name: str

    def encode(self, texts: list[str], *, plain: bool, places: bool) -> Encoded:
        """Encode texts; `plain` adds what a plain call adds (BOS), `places` asks for token places."""
        ...


class TokenizersEncoder:
    """The `tokenizers` library in batches: the ids that transformers itself gives, on all cores."""

    name = "tokenizers"

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._backend = tokenizer.backend
        tokenizer.hf("", add_special_tokens=False)  # sets truncation and padding as every later call does

    def encode(self, texts: list[str], *, plain: bool, places: bool) -> Encoded:
        backend: Any = self._backend
        encode = backend.encode_batch if places else backend.encode_batch_fast
        encodings = encode(texts, add_special_tokens=plain)
        ids = [encoding.ids for encoding in encodings]
        rows = _row_starts([len(item) for item in ids])
        flat = as_ids(np.concatenate([as_ids(item) for item in ids])) if ids else as_ids([])
        if not places:
            return Encoded(flat, rows, None, None)
        offsets = np.concatenate([_pairs(encoding.offsets) for encoding in encodings]) if ids else _pairs([])
        starts, ends = tiled(offsets[:, 0], offsets[:, 1], rows)
        return Encoded(flat, rows, starts, ends)


class TransformersEncoder:
    """One call per text, for tokenizers that are not backed by the Rust library. Places cannot be had."""

    name = "transformers"

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def encode(self, texts: list[str], *, plain: bool, places: bool) -> Encoded:
        ids = [self._tokenizer.encode(text, special=plain) for text in texts]
        rows = _row_starts([len(item) for item in ids])
        flat = as_ids([number for item in ids for number in item])
        return Encoded(flat, rows, None, None)


def encoder_for(tokenizer: Tokenizer) -> Encoder:
    """The exact encoder of a tokenizer."""
    return TransformersEncoder(tokenizer) if tokenizer.backend is None else TokenizersEncoder(tokenizer)


def tiled(starts: np.ndarray, ends: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places in order and without gaps: each token begins no later than where the one before it ends."""
    starts, ends = starts.astype(np.int64), ends.astype(np.int64)
    if not len(starts):
        return starts, ends
    # Tokens a tokenizer adds have place (0, 0): they stay where the text has come to.
    base: np.ndarray = np.zeros(len(starts), dtype=np.int64)
    longest = int(ends.max()) + 1
    base[rows[1:-1][rows[1:-1] < len(starts)]] = longest
    # Two empty texts in a row share their first token's index; add once per text that has tokens.
    base = np.cumsum(base)
    ends = np.maximum.accumulate(ends + base)
    before = np.concatenate([[0], ends[:-1]])
    first: np.ndarray = np.zeros(len(starts), dtype=bool)
    first[rows[:-1][rows[:-1] < len(starts)]] = True
    before = np.where(first, base, before)
    empty = starts == ends  # added tokens, and blanks an engine trims away
    starts = np.where(empty, before, np.minimum(starts + base, before))
    # Tokens that share a character (the bytes of an emoji) keep its place; the rest begins where it must.
    return np.maximum.accumulate(np.where(first, base, starts)) - base, ends - base


def _row_starts(lengths: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.asarray(lengths, dtype=np.int64))]).astype(np.int64)


def _pairs(offsets: list[tuple[int, int]]) -> np.ndarray:
    return np.asarray(offsets, dtype=np.int64).reshape(-1, 2)
