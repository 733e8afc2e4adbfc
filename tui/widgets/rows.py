"""A list of rows in columns: what Chat and Runs show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from tui.widgets.line_list import POINTER, LineList, Pieces
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


class RowList(LineList):
    """`show(rows)` keeps the cursor on the row with the same key."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"good", "bad"}
    DEFAULT_CSS = """
    RowList .cursor { color: $block-cursor-foreground; background: $block-cursor-background; text-style: bold; }
    RowList .good { color: $success; }
    RowList .bad { color: $error; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "choose", "open")]

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
        super().__init__(empty=empty, id=id)
        self.columns = tuple(columns)
        self.rows: tuple[Row, ...] = ()

    @property
    def count(self) -> int:
        return len(self.rows)

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
            self.moved()
        self.redraw()

    def moved(self) -> None:
        self.post_message(self.Moved(self.row))

    def chosen(self) -> None:
        self.post_message(self.Chosen(self.rows[self.cursor]))

    def heading(self) -> str:
        return self._columns_of([column.title for column in self.columns], "  ")

    def pieces(self, place: int, pointed: bool) -> Pieces:
        row = self.rows[place]
        start = f"{POINTER if pointed else ' '}{row.marked or ' '}"
        return ((self._columns_of(row.cells, start), "cursor" if pointed else row.style),)

    def _columns_of(self, cells: Sequence[str], start: str) -> str:
        width = self.size.width
        fixed = sum(column.cells + 1 for column in self.columns if column.cells)
        rest = max(width - 2 - fixed - 1, 4)
        parts = [fit(start, 2)]
        for column, text in zip(self.columns, cells, strict=True):
            cells_here = column.cells or rest
            shown = fit(text, cells_here)
            if column.right:
                shown = shown.rstrip().rjust(len(shown))
            parts.append(f"{shown} ")
        return fit("".join(parts), width)
