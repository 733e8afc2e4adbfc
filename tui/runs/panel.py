"""The Runs panel: every run of the workspace, their curves over one another, their recipes compared."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input

from core.errors import TunedeckError
from core.runs.compare import compare
from core.runs.cost import price_per_hour
from core.runs.find import find_runs
from core.runs.folder import Run
from core.runs.state import RunState, waiting_ids
from tui.deck import Deck
from tui.messages import GoTo, OpenRun
from tui.panel import Command
from tui.runs.acting import Acting
from tui.runs.comparing import LETTERS, CompareScreen
from tui.runs.lines import COLUMNS, details, matches, row_of, with_tags
from tui.runs.overlay import Curves, Overlay, Read, read_records
from tui.widgets.bars import Bar, Part
from tui.widgets.rows import RowList
from tui.widgets.text import cut_left, visible

READ_SECONDS = 2.0


class Found(Message, bubble=False):
    """All runs as they stand now, those that wait in their order, and what an hour of each costs."""

    def __init__(self, states: list[RunState], waiting: list[str], prices: dict[Path, float | None]) -> None:
        super().__init__()
        self.states = states
        self.waiting = waiting
        self.prices = prices


class RunsPanel(Acting):
    """Table, two lines on the run under the cursor, curves."""

    HELP = """
    Every run of this workspace, newest first, read from its folder. Enter opens one in the Train panel.
    Space marks up to four; their curves are drawn over one another, and d compares their recipes.

    A run that waits for its turn says its place in the queue; J and K move it, D takes it out. D on an ended
    run moves it into the trash, Z brings it back.
    """
    SCOPED_CSS = False
    DEFAULT_CSS = """
    RunsPanel Overlay { width: 100%; height: 9; }
    RunsPanel #filter { display: none; padding: 0 1; background: $panel; }
    RunsPanel #filter.open { display: block; }
    .-wide RunsPanel Overlay, .-widest RunsPanel Overlay { height: 16; }
    .-widest RunsPanel Overlay { height: 22; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "mark"),
        Binding("d", "compare", "compare"),
        Binding("slash", "filter", "filter", show=False, key_display="/"),
        Binding("m", "metric", "next metric", show=False),
        Binding("l", "log_scale", "log scale", show=False),
    ]

    def __init__(self, deck: Deck) -> None:
        super().__init__(deck)
        self.states: list[RunState] = []
        self.waiting: list[str] = []
        self.prices: dict[Path, float | None] = {}
        self.marked: list[Path] = []
        self.wanted = ""
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Input(
            placeholder="words that the id, state, model, method, data or note must have",
            id="filter",
            compact=True,
            disabled=True,
        )
        yield RowList(
            COLUMNS["-narrow"], empty="no runs here yet; r in the Train panel starts one", id="runs"
        )
        yield Bar(2, id="details")
        yield Overlay(id="overlay")

    def on_mount(self) -> None:
        self._timer = self.set_interval(READ_SECONDS, self._read, pause=True)

    def shown(self) -> None:
        self._read()
        if self._timer is not None:
            self._timer.resume()

    def hidden(self) -> None:
        if self._timer is not None:
            self._timer.pause()

    @work(thread=True, exclusive=True, exit_on_error=False, group="runs")
    def _read(self) -> None:
        states = find_runs(self.deck.workspace)
        prices = {
            state.folder: self.prices[state.folder]
            if state.folder in self.prices
            else price_per_hour(Run(state.folder))
            for state in states
        }
        self.post_message(Found(states, waiting_ids(self.deck.workspace.runs), prices))

    def on_found(self, message: Found) -> None:
        self.states, self.waiting, self.prices = message.states, message.waiting, message.prices
        folders = {state.folder for state in self.states}
        self.marked = [folder for folder in self.marked if folder in folders]
        self._show()
        self._read_curves()

    # The table

    @property
    def _table(self) -> RowList:
        return self.query_one(RowList)

    @property
    def selected(self) -> RunState | None:
        row = self._table.row
        return next((state for state in self.states if row and str(state.folder) == row.key), None)

    def read_again(self) -> None:
        self._read()

    def _show(self) -> None:
        columns = next(
            columns
            for name, columns in reversed(COLUMNS.items())
            if self.screen.has_class(name) or name == "-narrow"
        )
        self._table.columns = columns
        shown = [state for state in self.states if matches(state, self.wanted)]
        self._table.show(
            [
                row_of(
                    state,
                    columns,
                    marked=self._letter(state.folder),
                    place=self.waiting.index(state.id) + 1 if state.id in self.waiting else 0,
                    price_per_hour=self.prices.get(state.folder),
                )
                for state in shown
            ]
        )
        self._show_details()
        self.refresh_bindings()

    def _letter(self, folder: Path) -> str:
        return LETTERS[self.marked.index(folder)] if folder in self.marked else ""

    def _show_details(self) -> None:
        state = self.selected
        filtered = [Part(f" filter: {visible(self.wanted)} ", "key")] if self.wanted else []
        bar = self.query_one("#details", Bar)
        bar.put(0, [*filtered, *([Part(f" {details(state)}")] if state else [])])
        if state is None:
            bar.put(1, [])
            return
        words = with_tags(state)
        room = max(self.app.size.width - len(words) - 3, 20)
        path = cut_left(visible(str(state.folder).replace(str(Path.home()), "~", 1)), room)
        bar.put(1, [Part(f" {path} ", "muted"), Part(f" {words}")])

    @on(RowList.Moved)
    def _moved(self) -> None:
        self._show_details()
        self.refresh_bindings()
        self._read_curves()

    @on(RowList.Chosen)
    def _open(self, message: RowList.Chosen) -> None:
        self.post_message(GoTo("train", OpenRun(Path(message.row.key))))

    def action_mark(self) -> None:
        if self.refused("mark") or self.selected is None:
            return
        folder = self.selected.folder
        if folder in self.marked:
            self.marked.remove(folder)
        elif len(self.marked) == len(LETTERS):
            self.refuse(f"{len(LETTERS)} runs are marked already")
            return
        else:
            self.marked.append(folder)
        self._show()
        self._table.action_move(1)
        self._read_curves()

    # Curves

    def _read_curves(self) -> None:
        folders = self.marked or ([self.selected.folder] if self.selected else [])
        self._read_records(tuple(folders), self.query_one(Overlay).read)

    @work(thread=True, exclusive=True, exit_on_error=False, group="curves")
    def _read_records(self, folders: tuple[Path, ...], before: dict[Path, Read]) -> None:
        self.post_message(Curves(read_records(folders, before)))

    def on_curves(self, message: Curves) -> None:
        self.query_one(Overlay).draw(message.read)

    def action_metric(self) -> None:
        self.query_one(Overlay).next_metric()

    def action_log_scale(self) -> None:
        self.query_one(Overlay).switch_log_scale()

    # Keys

    def why_not(self, action: str) -> str:
        if action == "compare" and len(self.marked) < 2:
            return "mark two runs or more with space first"
        if action == "mark" and self.selected is None:
            return "there is no run here yet"
        return super().why_not(action)

    def action_compare(self) -> None:
        if self.refused("compare"):
            return
        try:
            compared = compare([Run(folder) for folder in self.marked])
        except TunedeckError as error:
            self.refuse(str(error))
        else:
            prices = tuple(self.prices.get(folder) for folder in self.marked)
            self.app.push_screen(CompareScreen(compared, prices))

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.disabled = False
        field.add_class("open")
        field.focus()

    @on(Input.Changed, "#filter")
    def _filter(self, message: Input.Changed) -> None:
        message.stop()
        self.wanted = message.value
        self._show()

    @on(Input.Submitted, "#filter")
    def _filtered(self, message: Input.Submitted) -> None:
        message.stop()
        self.focus_main()

    def focus_main(self) -> None:
        field = self.query_one("#filter", Input)
        field.remove_class("open")
        field.disabled = True
        self._table.focus()

    def commands(self) -> Iterable[Command]:
        yield from super().commands()
        if not self.why_not("compare"):
            yield "runs: compare", "the recipes of the marked runs", self.action_compare
        yield "view: next metric", "of the curves", self.action_metric
        yield "view: log scale", "of the curves", self.action_log_scale
