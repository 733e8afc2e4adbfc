"""A list of rows by number, as long as the source: only the lines in view are asked for and drawn.

`order` is None (all rows as they stand) or an array of row numbers. What a line says comes later: `RowList.Wanted`
asks for the rows in view, `put` brings them. The cursor moves at once, whatever is still on its way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from core.data.glance import Glance
from tui.widgets.layers import layered
from tui.widgets.text import fit, visible

MARKS = {"error": "✗", "warning": "!", "note": "·"}
_MOST_KEPT = 5_000


class RowList(Widget, can_focus=True):
    """`open(total)` shows that many rows."""

    HELP = """
    One line per row: a mark for its gravest finding, its number, tokens, trained share, first words.
    / finds rows that hold a text, : goes to a number, s sorts, n and N go through the rows of a finding.
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"cursor", "error", "warning", "muted", "number"}
    DEFAULT_CSS = """
    RowList { width: 30; height: 1fr; }
    RowList .cursor { background: $panel; text-style: bold; }
    RowList:focus .cursor { background: $block-cursor-background; color: $block-cursor-foreground; }
    RowList .error { color: $text-error; text-style: bold; }
    RowList .warning { color: $text-warning; }
    RowList .muted { color: $foreground 60%; }
    RowList .number { color: $text-primary; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "down", show=False),
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("pagedown,space", "page(1)", "page down", show=False),
        Binding("pageup,b", "page(-1)", "page up", show=False),
        Binding("g,home", "edge(0)", "first row", show=False),
        Binding("G,end", "edge(1)", "last row", show=False),
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
        super().__init__(id=id)
        self.total = 0
        self.place = 0  # of the cursor in the order
        self.order: np.ndarray | None = None
        self._first = 0
        self._known: dict[int, Glance] = {}
        self._severities: dict[int, str] = {}

    def open(self, total: int) -> None:
        """Another source, or another length of it."""
        self.total = total
        self.place = min(self.place, max(self.count - 1, 0))
        self._keep_in_view()
        self.refresh()

    @property
    def count(self) -> int:
        return self.total if self.order is None else len(self.order)

    @property
    def number(self) -> int | None:
        """The row under the cursor."""
        return self.number_at(self.place)

    def number_at(self, place: int) -> int | None:
        if not 0 <= place < self.count:
            return None
        return place if self.order is None else int(self.order[place])

    def put(self, glances: Iterable[Glance]) -> None:
        """What is known of some rows."""
        if len(self._known) > _MOST_KEPT:
            self._known.clear()
        self._known.update({glance.number: glance for glance in glances})
        self.refresh()

    def forget(self) -> None:
        """Nothing that was known holds any more (another mode, another template)."""
        self._known.clear()
        self.ask()

    def mark(self, severities: dict[int, str]) -> None:
        """The gravest finding of each row that has one."""
        self._severities = severities
        self.refresh()

    def set_order(self, order: np.ndarray | None) -> None:
        """Another order or choice of rows. The cursor stays on its row if that is still there."""
        number = self.number
        self.order = order
        place = None if number is None else self._place_of(number)
        self.place = place or 0
        self._keep_in_view()
        self.refresh()
        self.ask()
        if place is None and self.number is not None:
            self.post_message(self.Moved(self.number))

    def go_to(self, number: int) -> bool:
        """Put the cursor on a row; False where it is not in the list."""
        place = self._place_of(number)
        if place is not None:
            self._go(place)
        return place is not None

    def ask(self) -> None:
        """Ask for the rows in view that are not known."""
        numbers = [self.number_at(place) for place in range(self._first, self._first + self.size.height)]
        wanted = [number for number in numbers if number is not None and number not in self._known]
        if wanted:
            self.post_message(self.Wanted(wanted))

    # Moving

    def action_move(self, rows: int) -> None:
        self._go(self.place + rows)

    def action_page(self, pages: int) -> None:
        self._go(self.place + pages * max(self.size.height - 1, 1))

    def action_edge(self, end: int) -> None:
        self._go(self.count - 1 if end else 0)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-3)

    def on_click(self, event: events.Click) -> None:
        if self._first + event.y < self.count:
            self._go(self._first + event.y)

    def on_resize(self) -> None:
        self._keep_in_view()
        self.ask()

    def _go(self, place: int) -> None:
        if not self.count:
            return
        before, first = self.place, self._first
        self.place = min(max(place, 0), self.count - 1)
        self._keep_in_view()
        if self._first != first:
            self.refresh()
            self.ask()
        else:
            for line in (before - first, self.place - first):
                self.refresh(Region(0, line, self.size.width, 1))
        if self.place != before and self.number is not None:
            self.post_message(self.Moved(self.number))

    def _place_of(self, number: int) -> int | None:
        if self.order is None:
            return number if 0 <= number < self.total else None
        found = np.flatnonzero(self.order == number)
        return int(found[0]) if len(found) else None

    def _keep_in_view(self) -> None:
        height = max(self.size.height, 1)
        if self.place < self._first:
            self._first = self.place
        elif self.place >= self._first + height:
            self._first = self.place - height + 1
        self._first = min(max(self._first, 0), max(self.count - height, 0))

    # Drawing

    def render_line(self, y: int) -> Strip:
        place, width = self._first + y, self.size.width
        number = self.number_at(place)
        if number is None:
            text = "no rows" if y == 0 and not self.count else ""
            return Strip([Segment(fit(text, width), self._style("muted"))])
        return Strip(self._segments(number, place == self.place)).adjust_cell_length(
            width, self._style("cursor") if place == self.place else self.rich_style
        )

    def _segments(self, number: int, under_cursor: bool) -> list[Segment]:
        glance = self._known.get(number)
        severity = self._severities.get(number, "")
        if glance is not None and glance.problem:
            severity = "error"
        digits = max(len(str(max(self.total - 1, 0))), 3)
        share = "" if glance is None or not glance.kept else f"{glance.trained / glance.kept:4.0%}"
        tokens = "" if glance is None or not glance.tokens else f"{glance.tokens:,}"
        words = "" if glance is None else visible(glance.words or glance.problem)
        left = digits + 2 + 7 + 5
        pieces = [
            (MARKS.get(severity, " "), severity if severity != "note" else "muted"),
            (f"{number:>{digits}} ", "number"),
            (f"{tokens:>6} ", ""),
            (f"{share:>4} ", "muted"),
            (
                fit(words, max(self.size.width - left, 0)),
                "muted" if glance is not None and glance.problem else "",
            ),
        ]
        cursor = ("cursor",) if under_cursor else ()
        return [Segment(text, self._style(name, *cursor)) for text, name in pieces]

    def _style(self, *names: str) -> Style:
        return layered(self, *filter(None, names))
