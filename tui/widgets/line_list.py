"""The mechanics of every list: a cursor, keys, mouse, scrolling, and repainting only the lines that changed.

A list says how long it is (`count`) and what stands in one line (`pieces`); nothing else is ever asked for, so
it may be as long as it likes. Subclasses post their own messages from `moved` and `chosen`.
"""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui.widgets.layers import layered
from tui.widgets.text import fit

Pieces = tuple[tuple[str, str], ...]  # text and style class, or ""

POINTER = "›"  # stands before the line under the cursor, where colours say nothing


class LineList(Widget, can_focus=True):
    """Override `count` and `pieces`; call `redraw` when what they give has changed."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"heading", "cursor", "muted"}
    DEFAULT_CSS = """
    LineList { width: 1fr; height: 1fr; }
    LineList .heading { color: $foreground 60%; background: $surface; }
    LineList .muted { color: $foreground 60%; }
    LineList .cursor { background: $panel; text-style: bold; }
    LineList:nocolor .cursor { text-style: bold reverse; }
    LineList:focus .cursor { background: $block-cursor-background; color: $block-cursor-foreground; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "down", show=False),
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("g,home", "edge(0)", "first", show=False),
        Binding("G,end", "edge(1)", "last", show=False),
    ]

    def __init__(self, *, empty: str = "", id: str | None = None) -> None:
        super().__init__(id=id)
        self.empty = empty
        self.cursor = 0
        self._top = 0
        self._drawn: list[Pieces] = []
        self._ready_styles: dict[tuple[str, ...], Style] = {}

    # What a list is made of

    @property
    def count(self) -> int:
        """How many lines there are."""
        raise NotImplementedError

    def pieces(self, place: int, pointed: bool) -> Pieces:
        """What stands in a line; `pointed` says that the cursor is on it."""
        raise NotImplementedError

    def heading(self) -> str:
        """A line that stays above, or nothing."""
        return ""

    def can_stop(self, place: int) -> bool:
        """Whether the cursor may be there."""
        return True

    def moved(self) -> None:
        """The cursor is on another line."""

    def chosen(self) -> None:
        """Enter, or a click on the line under the cursor."""

    def scrolled(self) -> None:
        """Other lines are in view."""

    # Moving

    @property
    def in_view(self) -> range:
        """The lines in view."""
        return range(self._top, min(self._top + self._body, self.count))

    def action_move(self, by: int) -> None:
        self.go(self.cursor + by, 1 if by > 0 else -1)

    def action_page(self, pages: int) -> None:
        self.go(self.cursor + pages * max(self._body - 1, 1), 1 if pages > 0 else -1)

    def action_edge(self, end: int) -> None:
        self.go(self.count - 1 if end else 0, -1 if end else 1)

    def action_choose(self) -> None:
        if 0 <= self.cursor < self.count:
            self.chosen()

    def go(self, place: int, way: int = 1) -> None:
        """Put the cursor on a line, or on the next one in that direction that can take it."""
        before = self.cursor
        self.cursor = self._stop_at(place, way)
        self.redraw()
        if self.cursor != before:
            self.moved()

    def _stop_at(self, place: int, way: int) -> int:
        last = self.count - 1
        place = min(max(place, 0), max(last, 0))
        for step in (way, -way):
            at = place
            while 0 <= at <= last:
                if self.can_stop(at):
                    return at
                at += step
        return 0

    def on_click(self, event: events.Click) -> None:
        place = self._top + event.y - self._above
        if event.y < self._above or place >= self.count or not self.can_stop(place):
            return
        if place == self.cursor:
            self.action_choose()
        else:
            self.go(place)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-3)

    def on_resize(self) -> None:
        self._drawn = []
        self.redraw()

    # Drawing

    @property
    def _above(self) -> int:
        return 1 if self.heading() else 0

    @property
    def _body(self) -> int:
        return max(self.size.height - self._above, 1)

    def redraw(self) -> None:
        """Bring the cursor into view and repaint the lines that say something else than before."""
        width, height = self.size
        if not width or not height:
            return
        top = self._top
        self._keep_in_view()
        lines: list[Pieces] = [((fit(self.heading(), width), "heading"),)] if self._above else []
        if not self.count:
            lines.append(((fit(f"  {self.empty}" if self.empty else "", width), "muted"),))
        lines += [self._line(place) for place in self.in_view]
        before, self._drawn = self._drawn, lines
        for y in range(height):
            old = before[y] if y < len(before) else None
            new = lines[y] if y < len(lines) else None
            if old != new:
                self.refresh(Region(0, y, width, 1))
        if self._top != top or not before:
            self.scrolled()

    def _keep_in_view(self) -> None:
        self.cursor = min(self.cursor, max(self.count - 1, 0))
        leading = self.cursor - 1 if self.cursor and not self.can_stop(self.cursor - 1) else self.cursor
        self._top = min(self._top, leading, max(self.count - self._body, 0))
        self._top = max(self._top, self.cursor - self._body + 1, 0)

    def _line(self, place: int) -> Pieces:
        pointed = place == self.cursor and self.can_stop(place)
        pieces = self.pieces(place, pointed)
        room = self.size.width - sum(cell_len(text) for text, _ in pieces)
        return (*pieces, (" " * room, "cursor" if pointed else "")) if room > 0 else pieces

    def notify_style_update(self) -> None:
        self._ready_styles.clear()
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        if y >= len(self._drawn):
            return Strip.blank(self.size.width, self.rich_style)
        segments = [Segment(text, self._style(name)) for text, name in self._drawn[y]]
        return Strip(segments).adjust_cell_length(self.size.width, self.rich_style)

    def _style(self, names: str) -> Style:
        """Style classes, parted by blanks, laid over one another; kept until the theme changes."""
        classes = tuple(names.split())
        if classes not in self._ready_styles:
            self._ready_styles[classes] = layered(self, *classes)
        return self._ready_styles[classes]
