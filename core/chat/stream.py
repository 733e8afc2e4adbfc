"""Text from ids as they arrive, without ever taking a character back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class TextStream:
    """Turns new ids into text that is final.

    A byte-level token may hold part of a character, and a decoder may treat the first token of a text
    in its own way (a leading blank). So the ids of the last piece are decoded again with the new ones, and
    text is given out only when it does not end inside a character.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._start = 0  # ids from here on are decoded for context
        self._given = 0  # ids up to here are out as text

    def push(self, ids: Sequence[int]) -> str:
        """The text that became final with these ids; often empty."""
        self._ids.extend(ids)
        text = self._new_text()
        if not text or text.endswith("\ufffd"):
            return ""
        self._start, self._given = self._given, len(self._ids)
        return text

    def finish(self) -> str:
        """What is still held back, for example a character that was never completed."""
        text = self._new_text()
        self._start = self._given = len(self._ids)
        return text

    def _new_text(self) -> str:
        before = self._decode(self._ids[self._start : self._given])
        return self._decode(self._ids[self._start :])[len(before) :]

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))
