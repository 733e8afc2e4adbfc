"""Who answers: adding a run, an adapter or a model as one more column, and taking one away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from core.runs.state import RunState
from tui.chat.choosing import about
from tui.widgets.bars import Bar, Part
from tui.widgets.rows import Column, Row, RowList
from tui.widgets.text import visible

COLUMNS = (Column("", 34), Column("", 0))


class ColumnsScreen(ModalScreen[tuple[str, str] | None]):
    """Dismisses with ("add", what is named) or ("drop", a column). Writing filters, or names anything else."""

    DEFAULT_CSS = """
    ColumnsScreen { align: center middle; }
    ColumnsScreen Vertical { width: 94%; height: 80%; border: round $border; background: $surface; }
    ColumnsScreen Input { padding: 0 1; background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "close", show=False),
        Binding("down", "move(1)", "down", show=False),
        Binding("up", "move(-1)", "up", show=False),
    ]

    def __init__(self, names: Sequence[str], runs: Sequence[RunState]) -> None:
        super().__init__()
        self.names = list(names)
        self.runs = list(runs)

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Input(
                compact=True, placeholder="filter, or name a run, RUN:checkpoint-40, a folder, a model"
            )
            yield RowList(COLUMNS, empty="Enter adds what is written above")
            yield Bar(id="legend")

    def on_mount(self) -> None:
        legend = " Enter adds a run, or takes a column (✓) away · esc goes back"
        self.query_one("#legend", Bar).put(0, [Part(legend, "muted")])
        self._show("")

    def _show(self, wanted: str) -> None:
        words = wanted.lower().split()
        rows = [
            Row(f"drop {name}", (visible(name), "answers now; Enter takes it away"), marked="✓")
            for name in self.names
        ]
        rows += [Row(f"add {run.id}", (visible(run.id), visible(about(run)))) for run in self.runs]
        self.query_one(RowList).show(
            [row for row in rows if all(word in " ".join(row.cells).lower() for word in words)]
        )

    def action_move(self, by: int) -> None:
        self.query_one(RowList).action_move(by)

    @on(Input.Changed)
    def _filter(self, message: Input.Changed) -> None:
        self._show(message.value)

    @on(Input.Submitted)
    def _take(self, message: Input.Submitted) -> None:
        if self.query_one(RowList).row is not None:
            self.query_one(RowList).action_choose()
        elif message.value.strip():
            self.dismiss(("add", message.value.strip()))

    @on(RowList.Chosen)
    def _chosen(self, message: RowList.Chosen) -> None:
        verb, _, name = message.row.key.partition(" ")
        self.dismiss((verb, name))
