"""Choosing the data source: the demo's sets, files of the workspace, or any path or Hub id that is written."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input

from core.data.nearby import DEMO_SETS, Nearby, sources_nearby
from tui.widgets.rows import Column, Row, RowList
from tui.widgets.text import visible

COLUMNS = (Column("source", 0), Column("size", 10, right=True))


class PickSource(ModalScreen[str | None]):
    """Write to filter or to name a source, Enter takes it, esc goes back."""

    DEFAULT_CSS = """
    PickSource { align: center middle; }
    PickSource Vertical { width: 76; max-width: 96%; height: 18; border: round $border; background: $surface; }
    PickSource Input { padding: 0 1; background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "close", show=False),
        Binding("down", "move(1)", "down", show=False),
        Binding("up", "move(-1)", "up", show=False),
    ]

    class Found(Message, bubble=False):
        """What lies in the workspace."""

        def __init__(self, sources: list[Nearby]) -> None:
            super().__init__()
            self.sources = sources

    def __init__(self, workspace: Path, current: str) -> None:
        super().__init__()
        self.workspace = workspace
        self.current = current
        self.sources: list[Nearby] = []

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Input(
                compact=True, placeholder="a file, a folder, a Hub data set; Enter takes it, esc goes back"
            )
            yield RowList(COLUMNS, empty="Enter takes what is written as it is")

    def on_mount(self) -> None:
        self._show("")
        self._look()

    @work(thread=True, exclusive=True, exit_on_error=False)
    def _look(self) -> None:
        self.post_message(self.Found(sources_nearby(self.workspace)))

    def on_pick_source_found(self, message: Found) -> None:
        self.sources = message.sources
        self._show(self.query_one(Input).value)

    def _show(self, written: str) -> None:
        words = written.lower().split()
        rows = [(item.name, _size(item.bytes)) for item in self.sources] + [
            (name, "demo") for name in DEMO_SETS
        ]
        self.query_one(RowList).show(
            [
                Row(name, (visible(name), size), marked="✓" if name == self.current else "")
                for name, size in rows
                if all(word in name.lower() for word in words)
            ]
        )

    def action_move(self, by: int) -> None:
        self.query_one(RowList).action_move(by)

    @on(Input.Changed)
    def _filter(self, message: Input.Changed) -> None:
        self._show(message.value)

    @on(Input.Submitted)
    def _take(self, message: Input.Submitted) -> None:
        row = self.query_one(RowList).row
        written = message.value.strip()
        named = bool(written) and (self.workspace / Path(written).expanduser()).exists()
        self.dismiss(row.key if row is not None and not named else written or None)

    @on(RowList.Chosen)
    def _chosen(self, message: RowList.Chosen) -> None:
        self.dismiss(message.row.key)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:.1f} MiB" if size_bytes >= 2**20 else f"{size_bytes / 2**10:.1f} KiB"
