"""One row under two settings, token under token: A above, B below, a mark where they differ.

Stretches in which nothing differs are drawn once. The cursor begins on the first difference.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from core.data.compare import Pair
from core.data.view import ShownRow
from tui.widgets.pair_layout import MARGIN, PairLayout, PairPiece, differences, lay_out_pairs
from tui.widgets.text import fit, visible
from tui.widgets.token_style import TokenStyled, token_classes

_ABOVE = 3  # A, B and how much differs, before the tokens


class CompareView(TokenStyled, can_focus=True):
    """`show(left, right, pairs)`; `Moved` tells the pair under the cursor."""

    TITLE = "Two settings compared"
    HELP = """
    A is the recipe, B the other setting. Where tokens differ there are two lines and marks below them:
    ~ the label differs, ^ the ids differ, ▲ the first difference, ─ no such token on this side. Lines without
    A and B are the same on both sides. n and N go to the next difference and the one before.
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"side", "marks", "head"}
    DEFAULT_CSS = """
    CompareView { width: 1fr; height: 1fr; display: none; }
    CompareView .side { color: $text-primary; text-style: bold; }
    CompareView .marks { color: $text-warning; text-style: bold; }
    CompareView .head { color: $foreground 75%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l", "step(1)", "next token", show=False),
        Binding("left,h", "step(-1)", "token before", show=False),
        Binding("down,j", "line(1)", "line down", show=False),
        Binding("up,k", "line(-1)", "line up", show=False),
        Binding("pagedown,space", "page(1)", "page down", show=False),
        Binding("pageup,b", "page(-1)", "page up", show=False),
        Binding("g,home", "edge(0)", "first token", show=False),
        Binding("G,end", "edge(1)", "last token", show=False),
        Binding("n", "difference(1)", "next difference"),
        Binding("N", "difference(-1)", "difference before", show=False),
    ]

    class Moved(Message):
        """Another pair is under the cursor."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.left: ShownRow | None = None
        self.right: ShownRow | None = None
        self.pairs: tuple[Pair, ...] = ()
        self.different: list[int] = []
        self._differ: frozenset[int] = frozenset()
        self.cursor = 0
        self._layout = PairLayout((), (), ())
        self._top = 0

    def put(self, left: ShownRow, right: ShownRow, pairs: tuple[Pair, ...]) -> None:
        """Show two settings of a row, the cursor on the first difference."""
        self.left, self.right, self.pairs = left, right, pairs
        self.different = differences(pairs)
        self._differ = frozenset(self.different)
        self.cursor = self.different[0] if self.different else 0
        self._top = 0
        self._lay_out()

    @property
    def pair(self) -> Pair | None:
        return self.pairs[self.cursor] if self.cursor < len(self.pairs) else None

    # Moving

    def action_step(self, pairs: int) -> None:
        self._move(self.cursor + pairs)

    def action_line(self, groups: int) -> None:
        if self._layout.firsts:
            group = self._layout.group_of(self.cursor) + groups
            self._move(self._layout.firsts[min(max(group, 0), len(self._layout.firsts) - 1)])

    def action_page(self, pages: int) -> None:
        self.action_line(pages * max(self._room // 3, 1))

    def action_edge(self, end: int) -> None:
        self._move(len(self.pairs) if end else 0)

    def action_difference(self, step: int) -> None:
        """The beginning of the next stretch that differs, or of the one before."""
        stretches = [pair for pair in self.different if pair - 1 not in self._differ]
        after = bisect_right(stretches, self.cursor)
        found = after if step > 0 else bisect_left(stretches, self.cursor) - 1
        if 0 <= found < len(stretches):
            self._move(stretches[found])
        else:
            self.notify("no further difference", severity="warning", markup=False)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_line(1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_line(-1)

    def on_click(self, event: events.Click) -> None:
        line = self._top + event.y - _ABOVE
        if event.y < _ABOVE or line >= len(self._layout.lines):
            return
        x = MARGIN
        for piece in self._layout.lines[line].pieces:
            x += piece.cells
            if event.x < x:
                self._move(piece.pair)
                return

    def _move(self, pair: int) -> None:
        self.cursor = min(max(pair, 0), max(len(self.pairs) - 1, 0))
        self._keep_in_view()
        self.refresh()
        self.post_message(self.Moved())

    def on_resize(self) -> None:
        self._lay_out()

    @property
    def _room(self) -> int:
        return max(self.size.height - _ABOVE, 1)

    def _lay_out(self) -> None:
        if self.left is None or self.right is None:
            return
        self._layout = lay_out_pairs(self.pairs, self.left, self.right, max(self.size.width, 10))
        self._move(self.cursor)

    def _keep_in_view(self) -> None:
        lines = self._layout.lines_of(self.cursor)
        self._top = min(self._top, lines.start)
        self._top = max(self._top, lines.stop - self._room, 0)

    # Drawing

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if self.left is None or self.right is None:
            return Strip.blank(width, self.rich_style)
        if y < _ABOVE:
            text = (
                _told("A", self.left, self.right),
                _told("B", self.right, self.left),
                self._counted(),
            )[y]
            return Strip([Segment(fit(text, width), self.style_of("marks" if y == _ABOVE - 1 else "head"))])
        number = self._top + y - _ABOVE
        if number >= len(self._layout.lines):
            return Strip.blank(width, self.rich_style)
        line = self._layout.lines[number]
        side = {"left": "A ", "right": "B "}.get(line.kind, "  ")
        segments = [Segment(side, self.style_of("side"))]
        segments += [
            Segment(piece.text, self.style_of(*self._names(line.kind, piece))) for piece in line.pieces
        ]
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def _counted(self) -> str:
        if not self.pairs:
            return "nothing to compare"
        if not self.different:
            return f"all {len(self.pairs):,} tokens and labels are the same"
        return f"{len(self.different):,} of {len(self.pairs):,} tokens differ"

    def _names(self, kind: str, piece: PairPiece) -> list[str]:
        shown = self.right if kind == "right" else self.left
        assert shown is not None  # nothing is drawn before `put`
        if kind == "marks":
            return ["marks"]
        if piece.token < 0:
            names = ["muted"]
        else:
            token = shown.tokens[piece.token]
            names = token_classes(token, special=token.id in shown.special_ids, cut=piece.token >= shown.kept)
        return [*names, "cursor"] if piece.pair == self.cursor else names


def _told(side: str, shown: ShownRow, other: ShownRow) -> str:
    """What is different about a side, and how much of the row it trains."""
    settings = []
    if shown.loss_on != other.loss_on or shown.template == other.template:
        settings.append(f"loss on {shown.loss_on}")
    if shown.template != other.template:
        settings.append(f"template {visible(shown.template)}")
    counted = f"{shown.kept:,} tokens, {shown.trained:,} trained"
    return f"{side} {', '.join(settings)}: {f'not trained: {visible(shown.problem)}' if shown.problem else counted}"
