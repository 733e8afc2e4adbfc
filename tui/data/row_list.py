"""The list of a source's rows, by number: only the lines in view are asked for and drawn.

`order` is None (all rows as they stand) or an array of row numbers. What a line says comes later: `Wanted`
asks for the rows in view, `put` brings them. The cursor moves at once, whatever is still on its way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import numpy as np
from textual.binding import Binding, BindingType
from textual.message import Message

from core.data.glance import Glance
from tui.widgets.line_list import POINTER, LineList, Pieces
from tui.widgets.marks import SEVERITIES
from tui.widgets.text import fit, visible

_MOST_KEPT = 5_000
_MARK_CELLS, _TOKENS_CELLS, _SHARE_CELLS = 2, 7, 5


class NumberedRows(LineList):
    """`open(total)` shows that many rows."""

    TITLE = "The rows"
    HELP = """
    One line per row: › where the cursor is, the mark of its gravest finding (✗ error, ! warning, · note), its
    number, its tokens, the share of them that is trained, its first words. Tab goes to the tokens.
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"error", "warning", "number"}
    DEFAULT_CSS = """
    NumberedRows { width: 30; }
    NumberedRows .error { color: $text-error; text-style: bold; }
    NumberedRows .warning { color: $text-warning; }
    NumberedRows .number { color: $text-primary; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "page(1)", "page down", show=False),
        Binding("b", "page(-1)", "page up", show=False),
    ]

    class Moved(Message):
        """Another row is under the cursor."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    class Wanted(Message):
        """Rows in view that nothing is known of yet."""

        def __init__(self, numbers: list[int]) -> None:
            super().__init__()
            self.numbers = numbers

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(empty="no rows", id=id)
        self.total = 0
        self.order: np.ndarray | None = None
        self._known: dict[int, Glance] = {}
        self._severities: dict[int, str] = {}

    def open(self, total: int) -> None:
        """Another source, or another length of it."""
        self.total = total
        self.redraw()

    @property
    def count(self) -> int:
        return self.total if self.order is None else len(self.order)

    @property
    def number(self) -> int | None:
        """The row under the cursor."""
        return self.number_at(self.cursor)

    def number_at(self, place: int) -> int | None:
        if not 0 <= place < self.count:
            return None
        return place if self.order is None else int(self.order[place])

    def put(self, glances: Iterable[Glance]) -> None:
        """What is known of some rows."""
        if len(self._known) > _MOST_KEPT:
            self._known.clear()
        self._known.update({glance.number: glance for glance in glances})
        self.redraw()

    def forget(self) -> None:
        """Nothing that was known holds any more (another mode, another template)."""
        self._known.clear()
        self.scrolled()

    def mark(self, severities: dict[int, str]) -> None:
        """The gravest finding of each row that has one."""
        self._severities = severities
        self.redraw()

    def set_order(self, order: np.ndarray | None) -> None:
        """Another order or choice of rows. The cursor stays on its row if that is still there."""
        number = self.number
        self.order = order
        place = None if number is None else self._place_of(number)
        self.cursor = place or 0
        self.redraw()
        self.scrolled()
        if place is None and self.number is not None:
            self.moved()

    def go_to(self, number: int) -> bool:
        """Put the cursor on a row; False where it is not in the list."""
        place = self._place_of(number)
        if place is not None:
            self.go(place)
        return place is not None

    def moved(self) -> None:
        if self.number is not None:
            self.post_message(self.Moved(self.number))

    def scrolled(self) -> None:
        """Ask for the rows in view that are not known."""
        numbers = [self.number_at(place) for place in self.in_view]
        wanted = [number for number in numbers if number is not None and number not in self._known]
        if wanted:
            self.post_message(self.Wanted(wanted))

    def _place_of(self, number: int) -> int | None:
        if self.order is None:
            return number if 0 <= number < self.total else None
        found = np.flatnonzero(self.order == number)
        return int(found[0]) if len(found) else None

    # Drawing

    @property
    def _digits(self) -> int:
        return max(len(str(max(self.total - 1, 0))), 3)

    def heading(self) -> str:
        return f"{'':{_MARK_CELLS}}{'row':>{self._digits}} {'tokens':>{_TOKENS_CELLS - 1}} loss  begins"

    def pieces(self, place: int, pointed: bool) -> Pieces:
        number = self.number_at(place)
        glance = None if number is None else self._known.get(number)
        severity = "" if number is None else self._severities.get(number, "")
        if glance is not None and glance.problem:
            severity = "error"
        share = "" if glance is None or not glance.kept else f"{glance.trained / glance.kept:.0%}"
        tokens = "" if glance is None or not glance.tokens else f"{glance.tokens:,}"
        words = "" if glance is None else visible(glance.words or glance.problem)
        room = self.size.width - _MARK_CELLS - self._digits - 1 - _TOKENS_CELLS - _SHARE_CELLS
        pieces = (
            (POINTER if pointed else " ", ""),
            (SEVERITIES.get(severity, " "), "muted" if severity == "note" else severity),
            (f"{number:>{self._digits}} ", "number"),
            (f"{tokens:>{_TOKENS_CELLS - 1}} ", ""),
            (f"{share:>{_SHARE_CELLS - 1}} ", "muted"),
            (fit(words, max(room, 0)), "muted" if glance is not None and glance.problem else ""),
        )
        return tuple((text, f"{name} cursor" if pointed else name) for text, name in pieces)
