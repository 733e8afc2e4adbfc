"""Tokens laid out in lines of a width: what stands where. Pure, so that it can be tested without a screen.

Only where lines begin is found for the whole row; the pieces of a line are made when it is drawn.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from rich.cells import cell_len

from core.data.tokens import NO_TOKENS, Tokens
from tui.widgets.text import visible

BOX_LEFT, BOX_RIGHT = "▏", "▕"
_LONE_BYTE = re.compile("[\udc80-\udcff]")  # as the error handler surrogateescape leaves them


class Piece(NamedTuple):
    """A token, or a part of one that is wider than a line. `token` is its index in the row."""

    token: int
    text: str
    cells: int


class Look(NamedTuple):
    """How a token is drawn: its text, how wide that is, and whether a line ends after it."""

    text: str
    cells: int
    ends: bool


class Layout:
    """The tokens numbered in `shown` [int64, rising] in lines of `width` cells.

    A new line in a token ends the line; `special` ids are boxed. With `ids`, every piece is as wide as its
    id, which is drawn below it.
    """

    def __init__(
        self, tokens: Tokens, shown: np.ndarray, width: int, special: frozenset[int], *, ids: bool
    ) -> None:
        self._shown = shown
        self._width = width
        self._piece = tokens.piece[shown]
        self._looks = _looks(tokens, special, ids=ids)
        self._starts, self._offsets = self._line_starts()
        self._firsts: list[int] = shown[self._starts].tolist() if self._starts else []

    def __len__(self) -> int:
        """How many lines there are."""
        return len(self._starts)

    def first(self, line: int) -> int:
        """The first token of a line."""
        return self._firsts[line]

    def line_of(self, index: int) -> int:
        """The line on which a token begins, as far as it is laid out."""
        return max(bisect_right(self._firsts, index) - 1, 0)

    def line(self, number: int) -> tuple[Piece, ...]:
        """The pieces of a line."""
        start, offset = self._starts[number], self._offsets[number]
        last = number + 1 == len(self._starts)
        after, end = (len(self._shown), 0) if last else (self._starts[number + 1], self._offsets[number + 1])
        tokens = self._shown[start : max(after, start + 1)].tolist()
        looks = [self._looks[kind] for kind in self._piece[start : max(after, start + 1)].tolist()]
        head = looks[0].text[offset : end if after == start else None]
        pieces = [Piece(tokens[0], head, cell_len(head))]
        pieces += [
            Piece(token, look.text, look.cells) for token, look in zip(tokens[1:], looks[1:], strict=True)
        ]
        return tuple(pieces)

    def _line_starts(self) -> tuple[list[int], list[int]]:
        """For every line the place in `shown` where it begins, and how many characters of that token went before."""
        looks, width, count = self._looks, self._width, len(self._shown)
        cells = np.asarray([look.cells for look in looks], dtype=np.int64)[self._piece] if count else []
        before: list[int] = np.concatenate([[0], np.cumsum(cells)]).astype(np.int64).tolist()
        enders = np.asarray([look.ends for look in looks], dtype=bool)[self._piece] if count else []
        ends: list[int] = [*np.flatnonzero(enders).tolist(), count]
        starts: list[int] = []
        offsets: list[int] = []
        place = passed = 0
        while place < count:
            offset, used = 0, before[place + 1] - before[place]
            if used > width:
                text = looks[self._piece[place]].text
                while used > width:
                    starts.append(place)
                    offsets.append(offset)
                    offset += len(_head(text[offset:], width))
                    used = cell_len(text[offset:])
            starts.append(place)
            offsets.append(offset)
            # Every token is at least a cell wide, so no more than `width` of them can follow.
            fits = bisect_right(
                before, before[place + 1] + width - used, place + 1, min(place + width + 2, count + 1)
            )
            while ends[passed] < place:
                passed += 1
            place = min(fits - 1, ends[passed] + 1)
        return starts, offsets


def no_layout() -> Layout:
    """The layout of no tokens."""
    return Layout(NO_TOKENS, np.zeros(0, dtype=np.int64), 1, frozenset(), ids=False)


def _looks(tokens: Tokens, special: frozenset[int], *, ids: bool) -> list[Look]:
    """How each different token is drawn, by its number in `tokens.pieces`."""
    numbers: np.ndarray = np.zeros(len(tokens.pieces), dtype=np.int64)
    numbers[tokens.piece] = tokens.ids
    looks = [
        token_cell(readable(data), number in special)
        for data, number in zip(tokens.pieces, numbers.tolist(), strict=True)
    ]
    if not ids:
        return looks
    return [
        _padded(look, max(look.cells, len(str(number))) + 1)
        for look, number in zip(looks, numbers.tolist(), strict=True)
    ]


def _padded(look: Look, cells: int) -> Look:
    return Look(look.text + " " * (cells - look.cells), cells, look.ends)


@lru_cache(maxsize=100_000)
def readable(data: bytes) -> str:
    """The text of a token; bytes that are only a part of a character stand as ‹9F›."""
    text = data.decode("utf-8", "surrogateescape")
    return text if text.isprintable() else _LONE_BYTE.sub(lambda byte: f"‹{ord(byte[0]) - 0xDC00:02X}›", text)


@lru_cache(maxsize=100_000)
def token_cell(text: str, special: bool) -> Look:
    """How a token looks, its width, and whether a line ends after it."""
    ends = text.endswith("\n")
    shown = visible(text)
    if not shown.strip(" "):
        shown = "·" * len(shown)
    elif shown.endswith(" ") or shown.startswith("  "):
        stripped = shown.strip(" ")
        left = len(shown) - len(shown.lstrip(" "))
        shown = "·" * left + stripped + "·" * (len(shown) - left - len(stripped))
    if special:
        shown = f"{BOX_LEFT}{shown}{BOX_RIGHT}"
    if not cell_len(shown):
        # Nothing at all, or marks that take no room of their own (a skin tone alone).
        shown = "".join(f"‹{ord(character):04X}›" for character in shown) or "∅"
    return Look(shown, cell_len(shown), ends)


def _head(text: str, cells: int) -> str:
    """As much of the beginning as fits, at least one character."""
    used = 0
    for place, character in enumerate(text):
        used += cell_len(character)
        if used > cells and place:
            return text[:place]
    return text
