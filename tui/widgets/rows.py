"""A list of rows in columns, drawn line by line: as long as it likes, only what changed is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.widgets.text import fit


@dataclass(frozen=True, slots=True)
class Column:
    """A heading and a width in cells; width 0 takes what is left. `right` aligns to the right."""

    title: str
    cells: int
    right: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """What is shown of one thing, and what it is. `marked` rows carry a mark in the first cell."""

    key: str
    cells: tuple[str, ...]
    style: str = ""
    marked: str = ""


class RowList(Widget, can_focus=True):
    """`show(rows)` keeps the cursor on the row with the same key."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"heading", "cursor", "good", "bad", "muted"}
    DEFAULT_CSS = """
    RowList { width: 1fr; height: 1fr; }
    RowList .heading { color: $foreground 60%; background: $surface; }
    RowList .cursor { color: $block-cursor-foreground; background: $block-cursor-background; text-style: bold; }
    RowList .good { color: $success; }
    RowList .bad { color: $error; }
    RowList .muted { color: $foreground 60%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "open"),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("g,home", "move(-1000000000)", "top", show=False),
        Binding("G,end", "move(1000000000)", "bottom", show=False),
    ]

    class Chosen(Message):
        """Enter, or a click on the row under the cursor."""

        def __init__(self, row: Row) -> None:
            super().__init__()
            self.row = row

    class Moved(Message):
        """The cursor is on another row."""

        def __init__(self, row: Row | None) -> None:
            super().__init__()
            self.row = row

    def __init__(self, columns: Sequence[Column], *, empty: str, id: str | None = None) -> None:
        super().__init__(id=id)
        self.columns = tuple(columns)
        self.empty = empty
        self.rows: tuple[Row, ...] = ()
        self.cursor = 0
        self._top = 0
        self._drawn: list[tuple[str, str]] = []

    @property
    def row(self) -> Row | None:
        """The row under the cursor."""
        return self.rows[self.cursor] if self.rows else None

    def show(self, rows: Sequence[Row]) -> None:
        before = self.row
        self.rows = tuple(rows)
        keys = [row.key for row in self.rows]
        at = keys.index(before.key) if before is not None and before.key in keys else self.cursor
        self.cursor = min(at, max(len(self.rows) - 1, 0))
        if (before.key if before else None) != (self.row.key if self.row else None):
            self.post_message(self.Moved(self.row))
        self._draw()

    def action_move(self, by: int) -> None:
        before = self.cursor
        self.cursor = min(max(self.cursor + by, 0), max(len(self.rows) - 1, 0))
        if self.cursor != before:
            self.post_message(self.Moved(self.row))
        self._draw()

    def action_page(self, pages: int) -> None:
        self.action_move(pages * max(self.size.height - 2, 1))

    def action_choose(self) -> None:
        if self.row is not None:
            self.post_message(self.Chosen(self.row))

    def on_click(self, event: events.Click) -> None:
        at = self._top + event.y - 1
        if 0 <= at < len(self.rows) and event.y > 0:
            if at == self.cursor:
                self.action_choose()
            else:
                self.action_move(at - self.cursor)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-3)

    def on_resize(self) -> None:
        self._drawn = []
        self._draw()

    def _draw(self) -> None:
        width, height = self.size
        if not width or not height:
            return
        body = max(height - 1, 1)
        self._top = min(max(self._top, self.cursor - body + 1), self.cursor)
        titles = tuple(column.title for column in self.columns)
        lines = [(self._line(titles, "", width), "heading")]
        if not self.rows:
            lines.append((fit(f"  {self.empty}", width), "muted"))
        for number, row in enumerate(self.rows[self._top : self._top + body], self._top):
            style = "cursor" if number == self.cursor else row.style
            lines.append((self._line(row.cells, row.marked, width, pointed=number == self.cursor), style))
        before, self._drawn = self._drawn, lines
        for y in range(height):
            old = before[y] if y < len(before) else None
            new = lines[y] if y < len(lines) else None
            if old != new:
                self.refresh(Region(0, y, width, 1))

    def _line(self, cells: Sequence[str], mark: str, width: int, *, pointed: bool = False) -> str:
        fixed = sum(column.cells + 1 for column in self.columns if column.cells)
        rest = max(width - 2 - fixed - 1, 4)
        parts = [fit(f"{'›' if pointed else ' '}{mark or ' '}", 2)]
        for column, text in zip(self.columns, cells, strict=True):
            cells_here = column.cells or rest
            shown = fit(text, cells_here)
            if column.right:
                shown = shown.rstrip().rjust(len(shown))
            parts.append(f"{shown} ")
        return fit("".join(parts), width)

    def render_line(self, y: int) -> Strip:
        if y >= len(self._drawn):
            return Strip.blank(self.size.width, self.rich_style)
        text, name = self._drawn[y]
        return Strip([Segment(text, self.get_component_rich_style(name) if name else self.rich_style)])
