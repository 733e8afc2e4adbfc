"""gigatoken in the place of `tokenizers`, where it gives the same ids: many times faster."""

from __future__ import annotations

import json
import re
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from core.data.encode import Encoded, TokenizersEncoder, placed_by_bytes, with_rows
from core.data.token_bytes import byte_alphabet, token_bytes_of
from core.data.tokenizer import Tokenizer, as_ids

_MISSING_BYTE = re.compile(r"no single-byte vocab entry for byte 0x([0-9a-f]{2})")


class Disagreement(Exception):
    """gigatoken gave other ids than `tokenizers` for a text."""


class GigatokenEncoder:
    """Same ids and places as `TokenizersEncoder`.

    The texts of `doubt` are compared with `tokenizers` first, and one text of every batch, the one furthest
    from plain ASCII; a difference raises Disagreement.
    """

    name = "gigatoken"

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Raises RuntimeError or ValueError where gigatoken cannot load the tokenizer."""
        import gigatoken

        backend: Any = tokenizer.backend
        self._backend = backend
        self._size = tokenizer.vocabulary_size
        self._engine = _loaded(gigatoken, backend.to_str())
        self._exact = TokenizersEncoder(tokenizer)
        self._bytes = token_bytes_of(tokenizer)
        self._tiles = True  # until a whole batch does not
        self._doubted: list[str] = []

    def doubt(self, texts: list[str]) -> None:
        """Compare the ids of these texts with those of `tokenizers` before the next texts are encoded."""
        self._doubted = texts

    def encode(self, texts: list[str], *, plain: bool, places: bool) -> Encoded:
        if self._doubted:
            doubted, self._doubted = self._doubted, []
            if not self.agrees(doubted):
                raise Disagreement
        if places and (plain or not self._tiles):
            return self._exact.encode(texts, plain=plain, places=True)
        encoded = self._ids(texts)
        self._check(texts, encoded)
        foreign = self._foreign(encoded)
        exact = self._exact.encode([texts[row] for row in foreign], plain=False, places=False)
        encoded = with_rows(encoded, foreign, exact)
        if places:
            placed, wrong = placed_by_bytes(encoded, texts, self._bytes, self._engine.decode)
            self._tiles = len(wrong) < len(texts)
            return with_rows(placed, wrong, self._exact.with_offsets([texts[row] for row in wrong]))
        return self._with_added(encoded) if plain else encoded

    def agrees(self, texts: list[str]) -> bool:
        """Whether the ids of these texts are those of `tokenizers`."""
        ours = self._ids(texts)
        exact = self._exact.encode(texts, plain=False, places=False)
        return np.array_equal(ours.rows, exact.rows) and np.array_equal(ours.ids, exact.ids)

    def _ids(self, texts: list[str]) -> Encoded:
        layout = self._engine.encode_batch(texts).layout
        rows = np.asarray(layout.offsets.data, dtype=np.int64)
        ids = np.asarray(layout.content.data)[rows[0] : rows[-1]].astype(np.int32)
        return Encoded(ids, rows - rows[0])

    def _check(self, texts: list[str], encoded: Encoded) -> None:
        odd = [row for row, text in enumerate(texts) if not text.isascii()]
        if not odd:
            return
        oddest = max(odd, key=lambda row: len(texts[row].encode()) - len(texts[row]))
        ours = encoded.ids[encoded.of(oddest)]
        exact = self._exact.encode([texts[oddest]], plain=False, places=False)
        if (ours < self._size).all() and not np.array_equal(ours, exact.ids):
            raise Disagreement

    def _foreign(self, encoded: Encoded) -> np.ndarray:
        """Texts with a byte that the vocabulary lacks: `tokenizers` leaves it out, gigatoken cannot."""
        foreign = np.flatnonzero(encoded.ids >= self._size)
        return np.unique(np.searchsorted(encoded.rows, foreign, side="right") - 1)

    def _with_added(self, encoded: Encoded) -> Encoded:
        """What a plain call puts before and after every text."""
        before, after = self._added
        if not before and not after:
            return encoded
        first, last = as_ids(before), as_ids(after)
        texts = len(encoded.rows) - 1
        ids = [part for row in range(texts) for part in (first, encoded.ids[encoded.of(row)], last)]
        more: np.ndarray = np.arange(texts + 1) * (len(first) + len(last))
        return Encoded(np.concatenate([encoded.ids[:0], *ids]), encoded.rows + more)

    @cached_property
    def _added(self) -> tuple[list[int], list[int]]:
        bare = self._backend.encode("a", add_special_tokens=False).ids
        full = self._backend.encode("a", add_special_tokens=True).ids
        for start in range(len(full) - len(bare) + 1):
            if full[start : start + len(bare)] == bare:
                return full[:start], full[start + len(bare) :]
        raise Disagreement


@lru_cache(maxsize=2)
def load_gigatoken(tokenizer: Tokenizer) -> GigatokenEncoder | None:
    """gigatoken, if it is here and loads this tokenizer."""
    if tokenizer.backend is None:
        return None
    try:
        return GigatokenEncoder(tokenizer)
    except (ImportError, RuntimeError, ValueError):
        return None


def _loaded(gigatoken: Any, text: str) -> Any:
    """gigatoken's tokenizer; bytes that the vocabulary lacks get ids beyond its end."""
    try:
        return gigatoken.Tokenizer.from_json(text)
    except RuntimeError as error:
        if not _MISSING_BYTE.search(str(error)):
            raise
    state = json.loads(text)
    vocabulary = state["model"]["vocab"]
    free = max([*vocabulary.values(), *(token["id"] for token in state["added_tokens"])]) + 1
    for character in byte_alphabet():
        if character not in vocabulary:
            vocabulary[character] = free
            free += 1
    return gigatoken.Tokenizer.from_json(json.dumps(state))
