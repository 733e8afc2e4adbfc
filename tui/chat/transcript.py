"""One voice's side of a conversation: a header that proves who answers, and the turns, drawn line by line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.chat.blocks import Block, blocks, proof
from tui.chat.markdown import markdown_lines
from tui.chat.talk import Talk
from tui.widgets.text import cut, fit, visible, wrap


@dataclass(frozen=True, slots=True)
class Line:
    """One line: pieces of text, each with a style class or a style of its own, and the turn it belongs to."""

    pieces: tuple[tuple[str, str | Style], ...] = ()
    turn: int = 0

    @property
    def cells(self) -> int:
        return sum(cell_len(text) for text, _ in self.pieces)


class Transcript(Widget, can_focus=True):
    """`show(talk)` draws it anew; only rows that differ are sent. It follows the end until moved away."""

    HELP = """
    What this voice was asked and answered. Up and down scroll.
    `[` and `]` choose a turn (▸); r, e, c, i, y, left and right work on it.
    r and e open a branch beside it, left and right show the others.
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"asked", "muted", "warned", "heading", "current"}
    DEFAULT_CSS = """
    Transcript { width: 1fr; height: 1fr; }
    Transcript .asked { color: $primary; text-style: bold; }
    Transcript .muted { color: $foreground 60%; }
    Transcript .warned { color: $warning; text-style: bold; }
    Transcript .heading { background: $surface; color: $foreground 75%; }
    Transcript .current { background: $surface; color: $accent; text-style: bold underline; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "down", show=False),
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("pagedown,space", "page(1)", "page down", show=False),
        Binding("pageup,b", "page(-1)", "page up", show=False),
        Binding("g,home", "move(-1000000)", "top", show=False),
        Binding("G,end", "move(1000000)", "bottom", show=False),
    ]

    class Pointed(Message):
        """A turn was clicked."""

        def __init__(self, turn: int) -> None:
            super().__init__()
            self.turn = turn

    def __init__(self, who: str) -> None:
        super().__init__()
        self.who = who
        self.following = True
        self.markdown = False
        self.notes: tuple[str, ...] = ()
        self._talk = Talk()
        self._lines: list[Line] = []
        self._top = 0
        self._drawn: list[Line] = []
        self._wrapped: dict[tuple[Block, int, bool], list[Line]] = {}

    def show(self, talk: Talk) -> None:
        self._talk = talk
        width = self.size.width - 2
        if width < 4:
            return
        lines: list[Line] = []
        wrapped: dict[tuple[Block, int, bool], list[Line]] = {}
        for block in blocks(talk, self.who, self.notes):
            key = (block, width, self.markdown)
            wrapped[key] = self._wrapped.get(key) or self._lines_of(block, width)
            lines += wrapped[key]
        self._wrapped, self._lines = wrapped, lines
        self._draw()

    def _lines_of(self, block: Block, width: int) -> list[Line]:
        if block.prose and self.markdown:
            return [Line(pieces, block.turn) for pieces in markdown_lines(block.text, width)]
        return [Line(((text, block.style),), block.turn) for text in wrap(block.text, width)]

    def bring_into_view(self, turn: int) -> None:
        """Scroll so that a turn's prompt can be seen."""
        place = next((y for y, line in enumerate(self._lines) if line.turn == turn), None)
        if place is not None and not self._top <= place < self._top + self._body:
            self.action_move(place - self._top)

    @property
    def heading(self) -> str:
        """Who answers, and the evidence of the newest answer."""
        talk = self._talk
        newest = next((said for turn in reversed(talk.branch) if (said := talk.at(turn.id, self.who))), None)
        evidence = proof(newest)
        name = visible(self.who)
        return (
            f"{cut(name, max(self.size.width - 4 - cell_len(evidence), 8))}  {evidence}" if evidence else name
        )

    @property
    def _body(self) -> int:
        return max(self.size.height - 1, 1)

    @property
    def _end(self) -> int:
        return max(len(self._lines) - self._body, 0)

    def _draw(self) -> None:
        """Work out the rows in view and repaint those that differ."""
        width, height = self.size
        self._top = self._end if self.following else min(self._top, self._end)
        heading = Line(((self.heading, "current" if self.has_focus else "heading"),))
        rows = [heading, *self._lines[self._top : self._top + height - 1]]
        rows += [Line()] * (height - len(rows))
        before, self._drawn = self._drawn, rows
        for y, row in enumerate(rows):
            old = before[y] if y < len(before) else None
            if old is None or old.pieces != row.pieces:
                reach = width if old is None or y == 0 else max(old.cells, row.cells) + 1
                self.refresh(Region(0, y, min(reach, width), 1))

    def on_resize(self) -> None:
        self._drawn = []
        self.show(self._talk)

    def watch_has_focus(self, has_focus: bool) -> None:
        super().watch_has_focus(has_focus)
        self._draw()

    def on_click(self, event: events.Click) -> None:
        if 0 < event.y < len(self._drawn) and (turn := self._drawn[event.y].turn):
            self.post_message(self.Pointed(turn))

    def action_move(self, lines: int) -> None:
        self._top = min(max(self._top + lines, 0), self._end)
        self.following = self._top == self._end
        self._draw()

    def action_page(self, pages: int) -> None:
        self.action_move(pages * max(self.size.height - 2, 1))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-3)

    def render_line(self, y: int) -> Strip:
        width, plain = self.size.width, self.rich_style
        line = self._drawn[y] if y < len(self._drawn) else Line()
        if y == 0:
            text, name = line.pieces[0] if line.pieces else ("", "heading")
            return Strip([Segment(fit(f" {text}", width), self._style(name))])
        segments = [Segment(" ", plain)]
        segments += [Segment(cut(text, width - 1), plain + self._style(name)) for text, name in line.pieces]
        return Strip(segments).adjust_cell_length(width, plain)

    def _style(self, name: str | Style) -> Style:
        if isinstance(name, Style):
            return name
        return self.get_component_rich_style(name) if name else self.rich_style
