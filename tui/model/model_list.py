"""The list of models: headings and entries, drawn line by line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from textual.message import Message

from core.models.listing import ModelEntry
from tui.widgets.line_list import LineList, Pieces
from tui.widgets.text import cut_left, fit, visible


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a heading without an entry, or an entry with its mark and what stands at the right."""

    text: str
    right: str = ""
    mark: str = " "
    entry: ModelEntry | None = None


class ModelList(LineList):
    """`put(rows)` shows them and keeps the cursor on the same model."""

    TITLE = "The models"
    HELP = """
    Models at hand, then those of the Hub that match the search.
    ▶ chosen in the recipe   ✓ whole   ◐ not whole   ↓ on its way   · on the Hub only
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"title", "dim", "chosen"}
    DEFAULT_CSS = """
    ModelList { height: 9; min-height: 3; }
    ModelList .title { color: $foreground 60%; text-style: italic; }
    ModelList .dim { color: $foreground 65%; }
    ModelList .chosen { text-style: bold; }
    ModelList .cursor { background: $surface; text-style: bold underline; }
    ModelList:focus .cursor { color: $block-cursor-foreground; background: $block-cursor-background; text-style: bold; }
    """

    class Highlighted(Message):
        """The cursor is on another model now, or on none."""

        def __init__(self, entry: ModelEntry | None) -> None:
            super().__init__()
            self.entry = entry

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.rows: list[Row] = []

    @property
    def count(self) -> int:
        return len(self.rows)

    @property
    def entry(self) -> ModelEntry | None:
        """The model under the cursor."""
        return self.rows[self.cursor].entry if self.cursor < len(self.rows) else None

    def put(self, rows: Sequence[Row]) -> None:
        before, self.rows = self.entry, list(rows)
        same = (
            place for place, row in enumerate(self.rows) if row.entry and before and _same(row.entry, before)
        )
        self.cursor = self._stop_at(next(same, 0), 1)
        self.redraw()
        if self.entry != before:
            self.moved()

    def can_stop(self, place: int) -> bool:
        return self.rows[place].entry is not None

    def moved(self) -> None:
        self.post_message(self.Highlighted(self.entry))

    def pieces(self, place: int, pointed: bool) -> Pieces:
        row, width = self.rows[place], self.size.width
        if row.entry is None:
            return ((fit(f" {row.text}", width), "title"),)
        right = f" {row.right} " if row.right else " "
        name = cut_left(visible(row.text), max(width - cell_len(right) - 3, 8))
        left = fit(f" {row.mark} {name}", width - cell_len(right))
        if pointed:
            return ((left + right, "cursor"),)
        return ((left, "chosen" if row.mark == "▶" else ""), (right, "dim"))


def _same(one: ModelEntry, other: ModelEntry) -> bool:
    return (one.id, one.source == "hub", one.folder) == (other.id, other.source == "hub", other.folder) or (
        one.id == other.id and "hub" in (one.source, other.source)
    )
