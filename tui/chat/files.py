"""Conversation files: where to save to, and which conversation to take up again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from core.chat.conversation import Messages, load_conversations
from core.errors import TunedeckError
from tui.widgets.bars import Bar, Part
from tui.widgets.rows import Column, Row, RowList
from tui.widgets.text import visible

COLUMNS = (Column("", 5, right=True), Column("turns", 5, right=True), Column("begins with", 0))


class SaveScreen(ModalScreen[str | None]):
    """Asks for the file; Enter saves, esc goes back."""

    DEFAULT_CSS = """
    SaveScreen { align: center middle; }
    SaveScreen Vertical { width: 90%; max-width: 100; height: 5; border: round $border; background: $surface; }
    SaveScreen Input { padding: 0 1; background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "close", show=False)]

    def __init__(self, who: str, file: str) -> None:
        super().__init__()
        self.who = who
        self.file = file

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Bar(id="about")
            yield Input(self.file, compact=True)
            yield Bar(id="legend")

    def on_mount(self) -> None:
        about = f" the conversation with {visible(self.who)} as a row of this JSONL file"
        self.query_one("#about", Bar).put(0, [Part(about, "name")])
        legend = " Enter saves, in place of its earlier form if it has one · esc goes back"
        self.query_one("#legend", Bar).put(0, [Part(legend, "muted")])

    @on(Input.Submitted)
    def _take(self, message: Input.Submitted) -> None:
        if message.value.strip():
            self.dismiss(message.value.strip())


class LoadScreen(ModalScreen[tuple[Path, int] | None]):
    """Enter in the field reads the file, Enter on a row takes that conversation up; esc goes back."""

    DEFAULT_CSS = """
    LoadScreen { align: center middle; }
    LoadScreen Vertical { width: 94%; height: 80%; border: round $border; background: $surface; }
    LoadScreen Input { padding: 0 1; background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "close", show=False)]

    def __init__(self, root: Path, file: str) -> None:
        super().__init__()
        self.root = root
        self.file = file
        self.path = root / file

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Input(self.file, compact=True)
            yield RowList(COLUMNS, empty="no conversation")
            yield Bar(id="legend")

    def on_mount(self) -> None:
        self._tell("Enter reads the file; then choose a conversation · esc goes back")
        if self.path.is_file():
            self.run_worker(self._read(), exclusive=True)

    def _tell(self, what: str, style: str = "muted") -> None:
        self.query_one("#legend", Bar).put(0, [Part(f" {visible(what)}", style)])

    async def _read(self) -> None:
        try:
            found = await asyncio.to_thread(load_conversations, self.path)
        except TunedeckError as error:
            self.query_one(RowList).show(())
            self._tell(str(error), "bad")
            return
        self.query_one(RowList).show(_rows(found))
        self._tell(f"{len(found)} conversations · Enter takes one up · esc goes back")
        if found:
            self.query_one(RowList).focus()

    @on(Input.Submitted)
    def _take(self, message: Input.Submitted) -> None:
        self.path = self.root / Path(message.value.strip()).expanduser()
        self.run_worker(self._read(), exclusive=True)

    @on(RowList.Chosen)
    def _chosen(self, message: RowList.Chosen) -> None:
        self.dismiss((self.path, int(message.row.key)))


def _rows(found: Sequence[Messages]) -> list[Row]:
    rows = []
    for place, messages in enumerate(found):
        asked = [message for message in messages if message["role"] == "user"]
        first = visible(str(asked[0]["content"])) if asked else ""
        rows.append(Row(str(place), (str(place + 1), str(len(asked)), first)))
    return rows
