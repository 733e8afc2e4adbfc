"""Tokens laid out in lines of a width: what stands where. Pure, so that it can be tested without a screen."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from rich.cells import cell_len

from core.data.types import Token
from tui.widgets.text import visible

BOX_LEFT, BOX_RIGHT = "▏", "▕"


class Piece(NamedTuple):
    """A token, or a part of one that is wider than a line. `token` is its index in the row."""

    token: int
    text: str
    cells: int


@dataclass(frozen=True)
class Layout:
    """Lines of pieces, and the first token of every line."""

    lines: tuple[tuple[Piece, ...], ...]
    firsts: tuple[int, ...]

    def line_of(self, index: int) -> int:
        """The line on which a token begins, as far as it is laid out."""
        return max(bisect_right(self.firsts, index) - 1, 0) if self.firsts else 0


def lay_out(
    tokens: Sequence[Token], shown: Sequence[int], width: int, special: frozenset[int], *, ids: bool
) -> Layout:
    """Lay out the tokens at the indexes `shown`. A new line in a token ends the line; `special` ids are boxed.

    With `ids`, every piece is as wide as its id, which is drawn below it.
    """
    lines: list[tuple[Piece, ...]] = []
    firsts: list[int] = []
    line: list[Piece] = []
    used = 0
    for index in shown:
        token = tokens[index]
        text, cells, ends = token_cell(token.text, token.id in special)
        if ids:
            wide = max(cells, len(str(token.id))) + 1
            text, cells = text + " " * (wide - cells), wide
        if used + cells > width and line:
            lines.append(tuple(line))
            line, used = [], 0
        while cells > width:
            head = _head(text, width)
            if not line:
                firsts.append(index)
            lines.append((Piece(index, head, cell_len(head)),))
            text = text[len(head) :]
            cells = cell_len(text)
        if not line:
            firsts.append(index)
        line.append(Piece(index, text, cells))
        used += cells
        if ends:
            lines.append(tuple(line))
            line, used = [], 0
    if line:
        lines.append(tuple(line))
    return Layout(tuple(lines), tuple(firsts))


@lru_cache(maxsize=100_000)
def token_cell(text: str, special: bool) -> tuple[str, int, bool]:
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
    return shown, cell_len(shown), ends


def _head(text: str, cells: int) -> str:
    """As much of the beginning as fits, at least one character."""
    used = 0
    for place, character in enumerate(text):
        used += cell_len(character)
        if used > cells and place:
            return text[:place]
    return text
