"""Choosing one of the held-out prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from core.chat.held_prompts import HeldPrompt
from tui.widgets.bars import Bar, Part
from tui.widgets.rows import Column, Row, RowList
from tui.widgets.text import visible

COLUMNS = (Column("row", 6, right=True), Column("prompt", 0), Column("the row's own answer", 30))


class PickPrompt(ModalScreen[HeldPrompt | None]):
    """Write to filter, Enter asks the row under the cursor, esc goes back."""

    DEFAULT_CSS = """
    PickPrompt { align: center middle; }
    PickPrompt Vertical { width: 96%; height: 90%; border: round $border; background: $surface; }
    PickPrompt Input { padding: 0 1; background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "close", show=False),
        Binding("down", "move(1)", "down", show=False),
        Binding("up", "move(-1)", "up", show=False),
    ]

    def __init__(self, prompts: Sequence[HeldPrompt]) -> None:
        super().__init__()
        self.prompts = list(prompts)

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Input(compact=True, placeholder="filter the held-out prompts; Enter asks, esc goes back")
            yield RowList(COLUMNS, empty="no prompt has these words")
            yield Bar(2, id="whole")

    def on_mount(self) -> None:
        self._show("")

    def _show(self, wanted: str) -> None:
        words = wanted.lower().split()
        self.query_one(RowList).show(
            [
                Row(str(index), (str(each.row), visible(each.prompt), visible(each.expected)))
                for index, each in enumerate(self.prompts)
                if all(word in f"{each.prompt} {each.expected}".lower() for word in words)
            ]
        )

    @on(RowList.Moved)
    def _show_whole(self, message: RowList.Moved) -> None:
        """The prompt under the cursor and the row's answer, as far as a line holds them."""
        chosen = self.prompts[int(message.row.key)] if message.row is not None else None
        bar = self.query_one("#whole", Bar)
        bar.put(0, [Part(f" asks     {visible(chosen.prompt)}" if chosen else "")])
        bar.put(1, [Part(f" expects  {visible(chosen.expected)}" if chosen else "", "muted")])

    def action_move(self, by: int) -> None:
        self.query_one(RowList).action_move(by)

    @on(Input.Changed)
    def _filter(self, message: Input.Changed) -> None:
        self._show(message.value)

    @on(Input.Submitted)
    def _take(self) -> None:
        self.query_one(RowList).action_choose()

    @on(RowList.Chosen)
    def _chosen(self, message: RowList.Chosen) -> None:
        self.dismiss(self.prompts[int(message.row.key)])
