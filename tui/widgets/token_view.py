"""A row's tokens, drawn line by line: what is trained can be told from what is not, in colour and without.

Trained tokens are bold and underlined on a coloured ground, masked ones plain. Special tokens stand in a box,
what max_length cuts off is struck through, white space and control characters are visible. A cursor moves
token by token; `TokenView.Moved` tells where it is.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from core.data.tokens import NO_TOKENS, Tokens
from core.data.types import Token
from tui.widgets.text import fit, visible, wrap
from tui.widgets.token_layout import Layout, Piece, no_layout
from tui.widgets.token_style import TokenStyled, token_classes


class TokenView(TokenStyled, can_focus=True):
    """`show(tokens, kept, special)` shows a row; tokens from `kept` on are cut off."""

    TITLE = "The tokens"
    HELP = """
    Bold and underlined: trained. Plain: not trained. ▏box▕: a special token. Struck: cut by max_length.
    · is a blank, ⏎ a new line. Left and right go token by token; the lines below say why.
    """
    DEFAULT_CSS = "TokenView { width: 1fr; height: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l", "step(1)", "next token", show=False),
        Binding("left,h", "step(-1)", "token before", show=False),
        Binding("down,j", "line(1)", "line down", show=False),
        Binding("up,k", "line(-1)", "line up", show=False),
        Binding("pagedown,space", "page(1)", "page down", show=False),
        Binding("pageup,b", "page(-1)", "page up", show=False),
        Binding("g,home", "edge(0)", "first token", show=False),
        Binding("G,end", "edge(1)", "last token", show=False),
        Binding("t", "next_trained", "next trained", show=False),
        Binding("i", "switch('ids')", "ids"),
        Binding("o", "switch('only_trained')", "only trained"),
        Binding("u", "switch('roles')", "role colours", show=False),
    ]

    class Moved(Message):
        """The cursor is on another token; None where there is none."""

        def __init__(self, index: int | None, token: Token | None) -> None:
            super().__init__()
            self.index = index
            self.token = token

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.tokens = NO_TOKENS
        self.kept = 0
        self.cursor = 0
        self.ids = False
        self.only_trained = False
        self.roles = False
        self.layout_lines = no_layout()
        self._special: frozenset[int] = frozenset()
        self._empty = ""
        self._shown: np.ndarray = np.zeros(0, dtype=np.int64)
        self._top = 0
        self._moved = False  # whether the cursor was moved since the row was shown

    def show(self, tokens: Tokens, kept: int, special: frozenset[int], *, empty: str = "") -> None:
        """Show a row's tokens, the cursor on the first trained one; `empty` is said where there are none."""
        same = np.array_equal(tokens.ids, self.tokens.ids)
        self.tokens, self.kept, self._special, self._empty = tokens, kept, special, empty
        if not same:
            self.cursor = _first(tokens.trained) or 0
            self._moved = False
        self._lay_out()
        if not same:
            self._centre()

    # Moving

    def action_step(self, tokens: int) -> None:
        if len(self._shown):
            place = self._place_of(self.cursor) + tokens
            self._move(int(self._shown[min(max(place, 0), len(self._shown) - 1)]))

    def action_line(self, lines: int) -> None:
        self._to_line(self.layout_lines.line_of(self.cursor) + lines)

    def action_page(self, pages: int) -> None:
        self.action_line(pages * max(self._page_lines - 1, 1))

    def action_edge(self, end: int) -> None:
        if len(self._shown):
            self._move(int(self._shown[-1] if end else self._shown[0]))

    def action_next_trained(self) -> None:
        """The first trained token after the next masked one, or the first of the row."""
        trained = self.tokens.trained
        after = _first(~trained, self.cursor)
        start = None if after is None else _first(trained, after)
        if start is None:
            start = _first(trained)
        if start is not None:
            self._move(start)

    def action_switch(self, what: str) -> None:
        setattr(self, what, not getattr(self, what))
        self._lay_out()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_line(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_line(-3)

    def on_click(self, event: events.Click) -> None:
        line = self._top + event.y // self._rows_per_line
        if line >= len(self.layout_lines):
            return
        x = 0
        for piece in self.layout_lines.line(line):
            x += piece.cells
            if event.x < x:
                self._move(piece.token)
                return

    def _to_line(self, line: int) -> None:
        if len(self.layout_lines):
            self._move(self.layout_lines.first(min(max(line, 0), len(self.layout_lines) - 1)))

    def _move(self, index: int) -> None:
        """Put the cursor on a token and repaint the lines that change."""
        before, self.cursor = self.cursor, index
        self._moved = True
        top = self._top
        self._keep_in_view()
        if self._top != top:
            self.refresh()
        else:
            for line in {self.layout_lines.line_of(before), self.layout_lines.line_of(index)}:
                height = self._rows_per_line
                self.refresh(Region(0, (line - self._top) * height, self.size.width, height * 2))
        self._tell()

    def _place_of(self, index: int) -> int:
        return min(int(np.searchsorted(self._shown, index)), max(len(self._shown) - 1, 0))

    # Layout

    @property
    def _rows_per_line(self) -> int:
        return 2 if self.ids else 1

    @property
    def _page_lines(self) -> int:
        return max(self.size.height // self._rows_per_line, 1)

    def on_resize(self) -> None:
        self._lay_out()
        if not self._moved:  # a row may come before the view has its final height
            self._centre()

    def _lay_out(self) -> None:
        tokens = self.tokens
        self._shown = np.flatnonzero(tokens.trained) if self.only_trained else np.arange(len(tokens))
        if len(self._shown) and self.cursor not in range(len(tokens)):
            self.cursor = 0
        if len(self._shown) and self.only_trained:
            self.cursor = int(self._shown[self._place_of(self.cursor)])
        width = max(self.size.width, 1)
        self.layout_lines = Layout(tokens, self._shown, width, self._special, ids=self.ids)
        self._keep_in_view()
        self.refresh()
        self._tell()

    def _centre(self) -> None:
        """The cursor in the middle, where there are lines enough."""
        self._top = self.layout_lines.line_of(self.cursor) - self._page_lines // 2
        self._keep_in_view()
        self.refresh()

    def _keep_in_view(self) -> None:
        line, page = self.layout_lines.line_of(self.cursor), self._page_lines
        last = max(len(self.layout_lines) - page, 0)
        if line < self._top:
            self._top = line
        elif line >= self._top + page:
            self._top = line - page + 1
        self._top = min(max(self._top, 0), last)

    def _tell(self) -> None:
        token = self.tokens[self.cursor] if len(self._shown) else None
        self.post_message(self.Moved(self.cursor if token else None, token))

    # Drawing

    def render_line(self, y: int) -> Strip:
        line, below = divmod(y, self._rows_per_line)
        number = self._top + line
        width = self.size.width
        if not len(self.layout_lines):
            said = wrap(visible(self._empty), width)
            return Strip([Segment(fit(said[y] if y < len(said) else "", width), self.style_of("muted"))])
        if number >= len(self.layout_lines):
            return Strip.blank(width, self.rich_style)
        pieces = self.layout_lines.line(number)
        segments = [
            self._id_segment(piece) if below else Segment(piece.text, self.style_of(*self._names(piece)))
            for piece in pieces
        ]
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def _id_segment(self, piece: Piece) -> Segment:
        return Segment(fit(str(self.tokens[piece.token].id), piece.cells), self.style_of("ids"))

    def _names(self, piece: Piece) -> list[str]:
        token = self.tokens[piece.token]
        cut, special = piece.token >= self.kept, token.id in self._special
        names = token_classes(token, special=special, cut=cut, roles=self.roles)
        return [*names, "cursor"] if piece.token == self.cursor else names


def _first(marks: np.ndarray, start: int = 0) -> int | None:
    """The first marked place from `start` on: bool [tokens]."""
    places = np.flatnonzero(marks[start:])
    return int(places[0]) + start if len(places) else None
