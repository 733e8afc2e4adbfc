"""The Runs panel: every run of the workspace, their loss curves over one another, their recipes compared."""

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
from core.runs.events import read_events
from core.runs.find import find_runs
from core.runs.folder import Run
from core.runs.record import Record
from core.runs.resume import resume
from core.runs.state import RunState
from tui.deck import Deck
from tui.messages import GoTo, OpenRun
from tui.panel import Command, Panel
from tui.runs.lines import NARROW, WIDE, comparison_text, details, matches, row_of
from tui.widgets.bars import Bar, Part
from tui.widgets.curve import CurveView, Plotted
from tui.widgets.rows import RowList
from tui.widgets.text import cut, visible

READ_SECONDS = 2.0
MOST_MARKED = 4
LETTERS = "abcd"


class Found(Message, bubble=False):
    """All runs as they stand now."""

    def __init__(self, states: list[RunState]) -> None:
        super().__init__()
        self.states = states


class Curves(Message, bubble=False):
    """The loss of the runs that are to be drawn, by folder."""

    def __init__(self, lines: dict[Path, list[tuple[float, float]]]) -> None:
        super().__init__()
        self.lines = lines


class RunsPanel(Panel):
    """Table, the line on the run under the cursor, curves."""

    HELP = """
    Every run of this workspace, newest first, read from its folder. Enter opens one in the Train panel.
    Space marks up to four; their losses are drawn over one another, and d compares their recipes.
    """
    SCOPED_CSS = False
    DEFAULT_CSS = """
    RunsPanel CurveView { width: 100%; height: 9; }
    RunsPanel #filter { display: none; padding: 0 1; background: $panel; }
    RunsPanel #filter.open { display: block; }
    .-wide RunsPanel CurveView, .-widest RunsPanel CurveView { height: 16; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "mark"),
        Binding("t", "chat", "chat"),
        Binding("u", "resume", "resume"),
        Binding("d", "compare", "compare"),
        Binding("slash", "filter", "filter", show=False, key_display="/"),
    ]

    def __init__(self, deck: Deck) -> None:
        super().__init__(deck)
        self.states: list[RunState] = []
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
        yield RowList(NARROW, empty="no runs here yet; r in the Train panel starts one", id="runs")
        yield Bar(id="details")
        yield CurveView(id="overlay")

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
        self.post_message(Found(states))

    def on_found(self, message: Found) -> None:
        self.states = message.states
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

    def _show(self) -> None:
        wide = self.screen.has_class("-wide") or self.screen.has_class("-widest")
        self._table.columns = WIDE if wide else NARROW
        shown = [state for state in self.states if matches(state, self.wanted)]
        self._table.show([row_of(state, wide=wide, marked=state.folder in self.marked) for state in shown])
        self._show_details()
        self.refresh_bindings()

    def _show_details(self) -> None:
        filtered = [Part(f" filter: {visible(self.wanted)} ", "key")] if self.wanted else []
        about = [Part(f" {details(self.selected)}")] if self.selected else []
        self.query_one("#details", Bar).put(0, [*filtered, *about])

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
        elif len(self.marked) == MOST_MARKED:
            self.refuse(f"{MOST_MARKED} runs are marked already")
            return
        else:
            self.marked.append(folder)
        self._show()
        self._table.action_move(1)
        self._read_curves()

    # Curves

    def _read_curves(self) -> None:
        folders = self.marked or ([self.selected.folder] if self.selected else [])
        self._read_losses(tuple(folders))

    @work(thread=True, exclusive=True, exit_on_error=False, group="curves")
    def _read_losses(self, folders: tuple[Path, ...]) -> None:
        lines = {}
        for folder in folders:
            record = Record()
            record.add(read_events(folder)[0])
            curve = record.curves["loss"]
            lines[folder] = list(zip(curve.steps, curve.smoothed, strict=True))
        self.post_message(Curves(lines))

    def on_curves(self, message: Curves) -> None:
        named = tuple(zip(LETTERS, message.lines.values(), strict=False))
        names = [cut(visible(folder.name), 24) for folder in message.lines]
        title = "loss: " + "  ".join(f"{letter} {name}" for letter, name in zip(LETTERS, names, strict=False))
        self.query_one(CurveView).plot(Plotted(title if names else "", named=named))

    # Keys

    def why_not(self, action: str) -> str:
        state = self.selected
        if action == "compare" and len(self.marked) < 2:
            return "mark two runs or more with space first"
        if action in ("mark", "chat", "resume") and state is None:
            return "there is no run here yet"
        if action == "resume" and state is not None:
            if not state.ended:
                return "the run is at work"
            if state.state == "done":
                return "the run is done"
            if state.checkpoint_step is None:
                return "the run has no checkpoint to go on from"
        if action == "chat" and state is not None and state.state != "done" and state.checkpoint_step is None:
            return "the run has saved nothing yet"
        return ""

    def action_chat(self) -> None:
        if not self.refused("chat") and self.selected is not None:
            self.post_message(GoTo("chat", OpenRun(self.selected.folder)))

    def action_resume(self) -> None:
        if self.refused("resume") or self.selected is None:
            return
        folder = self.selected.folder
        try:
            resume(Run(folder))
        except TunedeckError as error:
            self.refuse(str(error))
        else:
            self.post_message(GoTo("train", OpenRun(folder)))

    def action_compare(self) -> None:
        if self.refused("compare"):
            return
        from tui.help import HelpScreen

        try:
            text = comparison_text(compare([Run(folder) for folder in self.marked]))
        except TunedeckError as error:
            self.refuse(str(error))
        else:
            self.app.push_screen(HelpScreen("Runs compared", text, []))

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
        for title, about, action, call in (
            ("runs: resume", "go on from the last checkpoint", "resume", self.action_resume),
            ("runs: chat", "with the run under the cursor", "chat", self.action_chat),
            ("runs: compare", "the recipes of the marked runs", "compare", self.action_compare),
        ):
            if not self.why_not(action):
                yield title, about, call
