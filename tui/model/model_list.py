"""The list of models: headings and entries, drawn line by line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from core.models.listing import ModelEntry
from tui.widgets.text import cut_left, fit, visible


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a heading without an entry, or an entry with its mark and what stands at the right."""

    text: str
    right: str = ""
    mark: str = " "
    entry: ModelEntry | None = None


class ModelList(Widget, can_focus=True):
    """`put(rows)` shows them and keeps the cursor on the same model."""

    HELP = """
    Models at hand, then those of the Hub that match the search.
    ▶ chosen in the recipe   ✓ whole   ◐ not whole   ↓ on its way   · on the Hub only
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"heading", "cursor", "cursor-unfocused", "muted", "chosen"}
    DEFAULT_CSS = """
    ModelList { height: 9; min-height: 3; }
    ModelList .heading { color: $foreground 60%; text-style: italic; }
    ModelList .muted { color: $foreground 65%; }
    ModelList .chosen { text-style: bold; }
    ModelList .cursor { color: $block-cursor-foreground; background: $block-cursor-background; text-style: bold; }
    ModelList .cursor-unfocused { background: $surface; text-style: bold underline; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "down", show=False),
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("g,home", "move(-1000000)", "top", show=False),
        Binding("G,end", "move(1000000)", "bottom", show=False),
    ]

    class Highlighted(Message):
        """The cursor is on another model now, or on none."""

        def __init__(self, entry: ModelEntry | None) -> None:
            super().__init__()
            self.entry = entry

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.rows: list[Row] = []
        self.cursor = -1
        self._top = 0

    @property
    def entry(self) -> ModelEntry | None:
        """The model under the cursor."""
        return self.rows[self.cursor].entry if 0 <= self.cursor < len(self.rows) else None

    def put(self, rows: Sequence[Row]) -> None:
        before, self.rows = self.entry, list(rows)
        same = [
            number
            for number, row in enumerate(self.rows)
            if row.entry and before and _same(row.entry, before)
        ]
        self._go_to(same[0] if same else next(iter(self._stops()), -1))
        if self.entry != before:
            self.post_message(self.Highlighted(self.entry))
        self.refresh()

    def action_move(self, by: int) -> None:
        stops = self._stops()
        if not stops:
            return
        at = stops.index(self.cursor) if self.cursor in stops else 0
        self._select(stops[max(0, min(at + by, len(stops) - 1))])

    def action_page(self, way: int) -> None:
        self.action_move(way * max(self.size.height - 1, 1))

    def on_click(self, event: events.Click) -> None:
        row = self._top + event.y
        if row in self._stops():
            self._select(row)

    def on_mouse_scroll_down(self) -> None:
        self.action_move(1)

    def on_mouse_scroll_up(self) -> None:
        self.action_move(-1)

    def on_resize(self) -> None:
        self._go_to(self.cursor)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        number, plain = self._top + y, self.rich_style
        if number >= len(self.rows):
            return Strip.blank(self.size.width, plain)
        row = self.rows[number]
        if row.entry is None:
            style = plain + self.get_component_rich_style("heading")
            return Strip([Segment(fit(f" {row.text}", self.size.width), style)])
        right = f" {row.right} " if row.right else " "
        name = cut_left(visible(row.text), max(self.size.width - cell_len(right) - 3, 8))
        left = fit(f" {row.mark} {name}", self.size.width - cell_len(right))
        if number == self.cursor:
            under = "cursor" if self.has_focus else "cursor-unfocused"
            return Strip([Segment(left + right, plain + self.get_component_rich_style(under))])
        style = plain + self.get_component_rich_style("chosen") if row.mark == "▶" else plain
        return Strip([Segment(left, style), Segment(right, plain + self.get_component_rich_style("muted"))])

    def _stops(self) -> list[int]:
        return [number for number, row in enumerate(self.rows) if row.entry is not None]

    def _select(self, row: int) -> None:
        if row != self.cursor:
            self._go_to(row)
            self.post_message(self.Highlighted(self.entry))
            self.refresh()

    def _go_to(self, row: int) -> None:
        """Set the cursor and bring it, and a heading right above it, into view."""
        self.cursor = row
        height = max(self.size.height, 1)
        first = row - 1 if row > 0 and self.rows[row - 1].entry is None else row
        if first < self._top:
            self._top = max(first, 0)
        elif row >= self._top + height:
            self._top = row - height + 1
        self._top = max(0, min(self._top, len(self.rows) - height))


def _same(one: ModelEntry, other: ModelEntry) -> bool:
    return (one.id, one.source == "hub", one.folder) == (other.id, other.source == "hub", other.folder) or (
        one.id == other.id and "hub" in (one.source, other.source)
    )
