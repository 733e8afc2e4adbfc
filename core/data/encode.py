"""Texts to ids, in batches, with the place of every token in its text.

Places come from the bytes of the tokens: for nearly every tokenizer the tokens of a text, put together, are
the text. Where they are not (a normaliser changed it, an added token swallowed a blank) they come from the
tokenizer's own offsets, made to tile: what an offset leaves out belongs to the next token.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from core.data.token_bytes import TokenBytes, in_bytes, token_bytes_of
from core.data.tokenizer import Tokenizer, as_ids

Places = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Ids of several texts, end to end, and the place of each token in the UTF-8 bytes of all of them.

    `rows` [texts + 1] gives the first token of every text, `bytes_before` [texts + 1] where its bytes
    begin. `starts` and `ends` [tokens] never fall; they are None where places were not asked for or
    cannot be had.
    """

    ids: np.ndarray
    rows: np.ndarray
    starts: np.ndarray | None = None
    ends: np.ndarray | None = None
    bytes_before: np.ndarray | None = None

    def of(self, row: int) -> slice:
        return slice(int(self.rows[row]), int(self.rows[row + 1]))

    def places(self, row: int) -> Places | None:
        """Starts and ends of one text's tokens in its own bytes."""
        if self.starts is None or self.ends is None or self.bytes_before is None:
            return None
        tokens, before = self.of(row), self.bytes_before[row]
        return self.starts[tokens] - before, self.ends[tokens] - before


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
        backend: Any = tokenizer.backend
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        self._bytes = token_bytes_of(tokenizer)
        self._tiles = True  # until a whole batch does not

    def encode(self, texts: list[str], *, plain: bool, places: bool) -> Encoded:
        if not places:
            return self._ids(texts, plain)
        if plain or not self._tiles:
            return self.with_offsets(texts, plain=plain)
        encoded = self._ids(texts, plain)
        placed, wrong = placed_by_bytes(encoded, texts, self._bytes, self._bytes.join)
        self._tiles = not wrong.all()
        return with_rows(placed, wrong, self.with_offsets([texts[row] for row in wrong]))

    def with_offsets(self, texts: list[str], *, plain: bool = False) -> Encoded:
        """Ids and places by the library's own offsets."""
        encodings = self._backend.encode_batch(texts, add_special_tokens=plain)
        encoded = _joined([encoding.ids for encoding in encodings])
        places = []
        for text, encoding in zip(texts, encodings, strict=True):
            offsets = np.asarray(encoding.offsets, dtype=np.int64).reshape(-1, 2)
            starts, ends = tiled(text, offsets[:, 0], offsets[:, 1])
            places.append(
                (starts, ends) if text.isascii() else (in_bytes(text, starts), in_bytes(text, ends))
            )
        return with_places(encoded, places, byte_counts(texts))

    def _ids(self, texts: list[str], plain: bool) -> Encoded:
        encodings = self._backend.encode_batch_fast(texts, add_special_tokens=plain)
        return _joined([encoding.ids for encoding in encodings])


class TransformersEncoder:
    """One call per text, for tokenizers that are not backed by the Rust library. Places cannot be had."""

    name = "transformers"

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def encode(self, texts: list[str], *, plain: bool, places: bool) -> Encoded:
        return _joined([self._tokenizer.encode(text, special=plain) for text in texts])


def placed_by_bytes(
    encoded: Encoded, texts: list[str], token_bytes: TokenBytes, join: Callable[[np.ndarray], bytes]
) -> tuple[Encoded, np.ndarray]:
    """Places by counting bytes, and the numbers of the texts whose tokens do not put together to them."""
    ids, rows = encoded.ids, encoded.rows
    counted: np.ndarray = np.concatenate([[0], np.cumsum(token_bytes.lengths(ids))])
    before = np.concatenate([[0], np.cumsum(byte_counts(texts))])
    wrong: np.ndarray = np.diff(counted[rows]) != np.diff(before)
    for row in range(len(texts)):
        if not wrong[row] and not token_bytes.surely_whole(texts[row]):
            wrong[row] = join(ids[encoded.of(row)]) != texts[row].encode()
    if not wrong.any():
        return Encoded(ids, rows, counted[:-1], counted[1:], before), np.flatnonzero(wrong)
    shift: np.ndarray = np.repeat(before[:-1] - counted[rows[:-1]], np.diff(rows))
    return Encoded(ids, rows, counted[:-1] + shift, counted[1:] + shift, before), np.flatnonzero(wrong)


def with_places(encoded: Encoded, places: list[Places], sizes: np.ndarray) -> Encoded:
    """The same with the places of every text, given in its own bytes, and the texts' sizes in bytes."""
    nothing: np.ndarray = np.zeros(0, dtype=np.int64)
    before = np.concatenate([nothing, [0], np.cumsum(sizes)]).astype(np.int64)
    starts = [first + shift for (first, _), shift in zip(places, before.tolist(), strict=False)]
    ends = [last + shift for (_, last), shift in zip(places, before.tolist(), strict=False)]
    return Encoded(
        encoded.ids,
        encoded.rows,
        np.concatenate([nothing, *starts]),
        np.concatenate([nothing, *ends]),
        before,
    )


def with_rows(encoded: Encoded, numbers: np.ndarray, other: Encoded) -> Encoded:
    """The same with the texts in `numbers` taken from another encoding, in its order."""
    if not len(numbers):
        return encoded
    at = {row: index for index, row in enumerate(numbers.tolist())}
    sources = [(other, at[row]) if row in at else (encoded, row) for row in range(len(encoded.rows) - 1)]
    joined = Encoded(
        np.concatenate([source.ids[source.of(row)] for source, row in sources]),
        row_starts([source.of(row).stop - source.of(row).start for source, row in sources]),
    )
    places = [source.places(row) for source, row in sources]
    known = [item for item in places if item is not None]
    if len(known) < len(places):
        return joined
    sizes = [
        int(np.diff(source.bytes_before)[row]) for source, row in sources if source.bytes_before is not None
    ]
    return with_places(joined, known, np.asarray(sizes))


def byte_counts(texts: list[str]) -> np.ndarray:
    """UTF-8 bytes of every text: [texts]."""
    counts = (len(text) if text.isascii() else len(text.encode()) for text in texts)
    return np.fromiter(counts, dtype=np.int64, count=len(texts))


def tiled(text: str, starts: np.ndarray, ends: np.ndarray) -> Places:
    """One text's offsets (characters) in order and without gaps.

    A blank that the tokenizer trims belongs to the token after it; an accent that was composed with the
    letter before it belongs to that letter. Tokens that share a character (the bytes of an emoji) keep its
    place. Tokens without a place of their own begin where the text has come to.
    """
    if not len(starts):
        return starts, ends
    ends = np.maximum.accumulate(ends)
    if not text.isascii():
        ends = _with_accents(text, starts, ends)
    before = np.concatenate([[0], ends[:-1]])
    return np.maximum.accumulate(np.where(starts == ends, before, np.minimum(starts, before))), ends


def _with_accents(text: str, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Ends moved past the combining characters that no token covers."""
    following = np.append(starts[1:], len(text))
    for token in np.flatnonzero(following > ends).tolist():
        end = int(ends[token])
        while end < following[token] and unicodedata.combining(text[end]):
            end += 1
        ends[token] = end
    return ends


def row_starts(lengths: list[int]) -> np.ndarray:
    """First token of every text, and the end: [texts + 1]."""
    return np.concatenate([[0], np.cumsum(np.asarray(lengths, dtype=np.int64))]).astype(np.int64)


def _joined(ids: list[list[int]]) -> Encoded:
    flat = np.concatenate([as_ids([]), *(as_ids(item) for item in ids)])
    return Encoded(flat, row_starts([len(item) for item in ids]))
