"""The bytes of text that a token stands for, and from them the place of every token in its text."""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from core.data.tokenizer import Tokenizer

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_UNKNOWN = -1


def byte_alphabet() -> list[str]:
    """The 256 characters that byte-level BPE writes for bytes 0 to 255."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = [""] * 256
    for byte in printable:
        alphabet[byte] = chr(byte)
    for number, byte in enumerate(byte for byte in range(256) if not alphabet[byte]):
        alphabet[byte] = chr(256 + number)
    return alphabet


class TokenBytes:
    """Bytes and byte counts of tokens, looked up once per id."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._added = {number: text for text, number in tokenizer.added.items()}
        self._bytes: dict[int, bytes] = {}
        self._lengths: np.ndarray = np.full(tokenizer.vocabulary_size, _UNKNOWN, dtype=np.int64)

    def of(self, number: int) -> bytes:
        """The bytes of one token; of a SentencePiece token with `▁` as a blank."""
        known = self._bytes.get(number)
        if known is None:
            known = self._bytes[number] = self._found(number)
        return known

    def lengths(self, ids: np.ndarray) -> np.ndarray:
        """Byte counts [tokens]."""
        found: np.ndarray = self._lengths[ids]
        if (found == _UNKNOWN).any():
            for number in np.unique(ids[found == _UNKNOWN]).tolist():
                self._lengths[number] = len(self.of(number))
            found = self._lengths[ids]
        return found

    def join(self, ids: np.ndarray) -> bytes:
        """The bytes of several tokens, put together."""
        return b"".join(map(self.of, ids.tolist()))

    def surely_whole(self, text: str) -> bool:
        """Whether tokens that count as many bytes as the text must be the text, by the tokenizer's making.

        Byte-level tokens keep every byte; only a normaliser, a prefix blank or a blank that an added token
        swallows could change one.
        """
        return self._keeps_bytes and (
            text.isascii() or not self._composes or unicodedata.is_normalized("NFC", text)
        )

    @cached_property
    def _keeps_bytes(self) -> bool:
        state = self._state
        return (
            self._is_byte_level
            and (state.get("normalizer") or {"type": "NFC"})["type"] == "NFC"
            and '"add_prefix_space": true' not in json.dumps(state.get("pre_tokenizer"))
            and not any(token["lstrip"] or token["rstrip"] for token in state.get("added_tokens", ()))
        )

    @cached_property
    def _composes(self) -> bool:
        return self._state.get("normalizer") is not None

    @cached_property
    def _state(self) -> dict[str, Any]:
        """The tokenizer's JSON without its vocabulary."""
        backend: Any = self._tokenizer.backend
        added = backend.get_added_tokens_decoder().values() if backend is not None else ()
        return {
            "normalizer": _state_of(getattr(backend, "normalizer", None)),
            "pre_tokenizer": _state_of(getattr(backend, "pre_tokenizer", None)),
            "decoder": _state_of(getattr(backend, "decoder", None)),
            "added_tokens": [{"lstrip": token.lstrip, "rstrip": token.rstrip} for token in added],
        }

    def _found(self, number: int) -> bytes:
        if number in self._added:
            return self._added[number].encode()
        token = self._tokenizer.token(number)
        if self._is_byte_level:
            try:
                return bytes(self._byte_of[character] for character in token)
            except KeyError:
                return str(token).encode()
        byte = _BYTE_TOKEN.fullmatch(token)
        return bytes([int(byte[1], 16)]) if byte else str(token).replace("▁", " ").encode()

    @cached_property
    def _byte_of(self) -> dict[str, int]:
        return {character: byte for byte, character in enumerate(byte_alphabet())}

    @cached_property
    def _is_byte_level(self) -> bool:
        return "ByteLevel" in json.dumps(self._state["decoder"])


def _state_of(part: Any) -> dict[str, Any] | None:
    """One component of a `tokenizers` tokenizer as its JSON."""
    if part is None:
        return None
    state = part.__getstate__()
    return json.loads(state) if isinstance(state, bytes | str) else {"type": type(part).__name__}


@lru_cache(maxsize=4)
def token_bytes_of(tokenizer: Tokenizer) -> TokenBytes:
    """The token bytes of a tokenizer, looked up once per process."""
    return TokenBytes(tokenizer)


def in_bytes(text: str, characters: np.ndarray) -> np.ndarray:
    """Character positions of a text as positions in its UTF-8 form."""
    positions: np.ndarray = _byte_positions(text)[characters]
    return positions


def in_characters(text: str, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Byte places as character places; a token that holds part of a character covers all of it."""
    if text.isascii():
        return starts, ends
    positions = _byte_positions(text)
    first = np.searchsorted(positions, starts, side="right")
    last = np.searchsorted(positions, ends, side="left")
    return np.asarray(first) - 1, np.asarray(last)


def _byte_positions(text: str) -> np.ndarray:
    """Where each character begins in UTF-8, and the length: [characters + 1]."""
    codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    widths = 1 + (codes > 0x7F).astype(np.int64) + (codes > 0x7FF) + (codes > 0xFFFF)
    positions: np.ndarray = np.concatenate([[0], np.cumsum(widths)])
    return positions
