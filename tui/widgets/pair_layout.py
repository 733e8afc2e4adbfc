"""Two token sequences laid out under one another, pair by pair. Pure, so that it can be tested without a screen.

A stretch in which nothing differs takes one line; where something differs there are three: A, B, and the marks.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from rich.cells import cell_len

from core.data.compare import Pair
from core.data.view import ShownRow
from tui.widgets.text import fit
from tui.widgets.token_layout import readable, token_cell

MARGIN = 2  # cells before each line: which side it is
LABEL_MARK, ID_MARK, FIRST_MARK = "~", "^", "▲"
_NONE = "─"

Kind = Literal["same", "left", "right", "marks"]


class PairPiece(NamedTuple):
    """What stands of a pair on one line. `token` is its index on that side, -1 where there is none."""

    pair: int
    token: int
    text: str
    cells: int


class PairLine(NamedTuple):
    """One line of the screen."""

    kind: Kind
    pieces: tuple[PairPiece, ...]


@dataclass(frozen=True)
class PairLayout:
    """The lines, and for finding places: the first pair of every group of lines and where the group begins."""

    lines: tuple[PairLine, ...]
    firsts: tuple[int, ...]
    starts: tuple[int, ...]

    def group_of(self, pair: int) -> int:
        return max(bisect_right(self.firsts, pair) - 1, 0)

    def lines_of(self, pair: int) -> range:
        """The lines on which a pair stands."""
        if not self.starts:
            return range(0)
        group = self.group_of(pair)
        after = self.starts[group + 1] if group + 1 < len(self.starts) else len(self.lines)
        return range(self.starts[group], after)


def differs(pair: Pair) -> bool:
    """Whether the two sides train something else here."""
    return not (pair.same_id and pair.same_label)


def differences(pairs: Sequence[Pair]) -> list[int]:
    """The indexes of all pairs that differ."""
    return [index for index, pair in enumerate(pairs) if differs(pair)]


def lay_out_pairs(pairs: Sequence[Pair], left: ShownRow, right: ShownRow, width: int) -> PairLayout:
    """Lay the pairs out in lines of at most `width` cells, margin included."""
    room = max(width - MARGIN, 1)
    first = next((index for index, pair in enumerate(pairs) if differs(pair)), -1)
    lines: list[PairLine] = []
    firsts: list[int] = []
    starts: list[int] = []
    group: list[tuple[int, str, str, int]] = []
    used = 0

    def close() -> None:
        nonlocal group, used
        if not group:
            return
        firsts.append(group[0][0])
        starts.append(len(lines))
        lines.extend(_lines_of(group, pairs, first))
        group, used = [], 0

    for index, pair in enumerate(pairs):
        ours, ends_ours = _text_of(left, pair.left)
        theirs, ends_theirs = _text_of(right, pair.right)
        cells = min(max(cell_len(ours), cell_len(theirs)), room)
        if used + cells > room:
            close()
        group.append((index, ours, theirs, cells))
        used += cells
        if ends_ours or ends_theirs:
            close()
    close()
    return PairLayout(tuple(lines), tuple(firsts), tuple(starts))


def _lines_of(group: list[tuple[int, str, str, int]], pairs: Sequence[Pair], first: int) -> list[PairLine]:
    def side(which: Literal["left", "right"]) -> tuple[PairPiece, ...]:
        found = []
        for index, ours, theirs, cells in group:
            token = getattr(pairs[index], which)
            text = ours if which == "left" else theirs
            shown = fit(text, cells) if token is not None else _NONE * cells
            found.append(PairPiece(index, -1 if token is None else token, shown, cells))
        return tuple(found)

    if not any(differs(pairs[index]) for index, *_ in group):
        return [PairLine("same", side("left"))]
    marks = tuple(
        PairPiece(index, -1, fit(_mark(pairs[index], cells, index == first), cells), cells)
        for index, _, _, cells in group
    )
    return [PairLine("left", side("left")), PairLine("right", side("right")), PairLine("marks", marks)]


def _mark(pair: Pair, cells: int, first: bool) -> str:
    if not differs(pair):
        return ""
    mark = (LABEL_MARK if pair.same_id else ID_MARK) * cells
    return FIRST_MARK + mark[1:] if first else mark


def _text_of(shown: ShownRow, token: int | None) -> tuple[str, bool]:
    """How a token looks, and whether a line ends after it; nothing where there is none."""
    if token is None:
        return "", False
    data = shown.tokens.pieces[shown.tokens.piece[token]]
    text, _, ends = token_cell(readable(data), int(shown.tokens.ids[token]) in shown.special_ids)
    return text, ends
