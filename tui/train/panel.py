"""The Train panel: one run as its folder tells it, live or long ended. It holds nothing the run needs."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import ClassVar, get_args

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.message import Message
from textual.widgets import Input

from core.errors import TunedeckError
from core.runs.control import What, request
from core.runs.find import find_runs
from core.runs.folder import Run
from core.runs.record import Record
from core.runs.state import RunState
from tui.deck import Deck
from tui.messages import FollowRun, GoTo, JobFailed, JobProgress, JobResult, OpenRun, StartRun
from tui.panel import Command, Panel
from tui.train import shown
from tui.train.follower import Followed, Follower
from tui.train.starter import Starter
from tui.widgets.bars import Bar, Part
from tui.widgets.curve import CurveView
from tui.widgets.figures import Figures
from tui.widgets.log_view import LogView
from tui.widgets.text import visible

NO_RUN = " No run here yet. r starts one of the recipe; a checklist comes first."
QUESTIONS: dict[What, str] = {
    "stop-and-save": "Stop the run now and save a checkpoint it can be resumed from?",
    "stop": "Stop the run now WITHOUT saving? What came after its last checkpoint is lost.",
}


class Newest(Message, bubble=False):
    """The run to open when none was named."""

    def __init__(self, folder: Path | None) -> None:
        super().__init__()
        self.folder = folder


class TrainPanel(Panel):
    """Headline, curve, figures, newest note, log."""

    HELP = """
    One run, as its folder tells it. Leaving the app or closing the terminal does not touch the run;
    opening the app again finds it.

    The curve shows every step as a dot and the smoothed loss as a line; left and right move a cursor,
    + and - look closer at the newest steps, m takes the next metric.
    """
    SCOPED_CSS = False  # the width class is on the screen above
    DEFAULT_CSS = """
    TrainPanel #body { height: 13; }
    TrainPanel CurveView { width: 100%; height: 9; }
    TrainPanel Figures { height: 4; }
    TrainPanel #search { display: none; padding: 0 1; background: $panel; }
    TrainPanel #search.open { display: block; }
    .-wide TrainPanel #body, .-widest TrainPanel #body { layout: horizontal; height: 20; }
    .-wide TrainPanel CurveView, .-widest TrainPanel CurveView { width: 1fr; height: 20; }
    .-wide TrainPanel Figures, .-widest TrainPanel Figures { width: 36; height: 20; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "start", "start a run"),
        Binding("c", "ask('checkpoint')", "checkpoint"),
        Binding("s", "ask('stop-and-save')", "save and stop"),
        Binding("t", "chat", "chat with it"),
        Binding("m", "metric", "next metric"),
        Binding("x", "ask('stop')", "stop unsaved", show=False),
        Binding("l", "log_scale", "log scale", show=False),
        Binding("plus,equals_sign", "zoom(2)", "zoom in", show=False),
        Binding("minus", "zoom(0.5)", "zoom out", show=False),
        Binding("right", "cursor(1)", "cursor right", show=False),
        Binding("left", "cursor(-1)", "cursor left", show=False),
        Binding("0", "no_cursor", "cursor off", show=False),
    ]

    def __init__(self, deck: Deck) -> None:
        super().__init__(deck)
        self.run: Run | None = None
        self.state: RunState | None = None
        self.record = Record()
        self.metric = "loss"
        self.log_scale = False
        self.zoom = 1.0
        self.cursor_step: float | None = None
        self._starter = Starter(self)
        self._then_chat = False
        self._follower: Follower | None = None

    def compose(self) -> ComposeResult:
        yield Bar(id="headline")
        with Container(id="body"):
            yield CurveView(id="curve")
            yield Figures(id="figures")
        yield Bar(id="note")
        yield LogView(id="log")
        yield Input(placeholder="search the log", id="search", disabled=True, compact=True)

    # Which run

    def shown(self) -> None:
        if self.run is None and not self._starter.busy:
            self._find_newest()

    @work(thread=True, exclusive=True, exit_on_error=False, group="newest")
    def _find_newest(self) -> None:
        runs = find_runs(self.deck.workspace)
        living = [state for state in runs if not state.ended]
        self.post_message(Newest((living or runs)[0].folder if runs else None))

    def on_newest(self, message: Newest) -> None:
        if self._starter.busy:
            return
        if self.run is None and message.folder is not None:
            self.open_run(message.folder)
        elif self.run is None:
            self.query_one("#headline", Bar).put(0, [Part(NO_RUN, "muted")])

    def on_open_run(self, message: OpenRun) -> None:
        self.open_run(message.folder)

    def on_follow_run(self, message: FollowRun) -> None:
        self._then_chat = message.then_chat
        self.open_run(message.folder)

    def open_run(self, folder: Path) -> None:
        """Show this run from its first event on."""
        self._stop_following()
        self.run, self.state, self.record = Run(folder), None, Record()
        self.zoom, self.cursor_step = 1.0, None
        self._follower = Follower(self, folder)
        self.query_one(LogView).open(self.run.log)
        self.focus_main()

    def on_unmount(self) -> None:
        self._stop_following()

    def _stop_following(self) -> None:
        if self._follower is not None:
            self._follower.stop()
            self._follower = None

    def on_followed(self, message: Followed) -> None:
        if self._follower is None or message.folder != self._follower.folder:
            return
        self._follower.taken()
        before, saved = self.state, len(self.record.checkpoints)
        self.record.add(message.events)
        self.state = message.state or self.state
        self._draw()
        if len(self.record.checkpoints) != saved:
            self.refresh_bindings()
        if self.state is not None and (before is None or before.state != self.state.state):
            self.refresh_bindings()
            if before is not None and self.state.ended:
                self.app.bell()
                self.say(f"{self.state.id}: {self.state.state.replace('_', ' ')}")
            if self._then_chat and self.state.state == "done":
                self._then_chat = False
                self.action_chat()

    # Starting one

    def action_start(self) -> None:
        if self.refused("start"):
            return
        try:
            self._starter.check(self.deck.recipe)
        except OSError as error:
            self.refuse(f"nothing can be written to {self.deck.workspace.runs}: {error.strerror}")

    def on_start_run(self, message: StartRun) -> None:
        self._then_chat = message.then_chat
        self._starter.launch(message.recipe)

    def on_job_progress(self, message: JobProgress) -> None:
        self._starter.progress(message.job, message.value)

    def on_job_result(self, message: JobResult) -> None:
        self._starter.result(message.job, message.value)

    def on_job_failed(self, message: JobFailed) -> None:
        self._starter.failed(message.job, message.what)

    def say_starting(self, what: str) -> None:
        self.query_one("#headline", Bar).put(0, [Part(f" ◌ starting: {what}")])

    def say_not_started(self, why: str) -> None:
        self.query_one("#headline", Bar).put(0, [Part(NO_RUN, "muted")])
        self.query_one("#note", Bar).put(0, [Part(f" ✗ {visible(why)}", "bad")])
        self.notify(why, severity="error", timeout=20)

    # Drawing

    def _draw(self) -> None:
        if self.state is None:
            return
        with self.app.batch_update():
            self.query_one("#headline", Bar).put(0, shown.headline(self.state, self.record))
            self.query_one("#note", Bar).put(0, [shown.newest_note(self.state, self.record)])
            self.query_one(Figures).tell(shown.figures(self.state, self.record))
            self._draw_curve()

    def _draw_curve(self) -> None:
        newest = max(self.record.step, 1)
        first = newest - newest / self.zoom if self.zoom > 1 else 0.0
        plotted = shown.plotted(
            self.record, self.metric, log_scale=self.log_scale, first=first, cursor=self.cursor_step
        )
        self.query_one(CurveView).plot(plotted)

    def action_metric(self) -> None:
        names = list(shown.METRICS)
        self.metric = names[(names.index(self.metric) + 1) % len(names)]
        self._draw_curve()

    def action_log_scale(self) -> None:
        self.log_scale = not self.log_scale
        self._draw_curve()

    def action_zoom(self, factor: float) -> None:
        self.zoom = min(max(self.zoom * factor, 1.0), 1024.0)
        self._draw_curve()

    def action_cursor(self, move: int) -> None:
        steps = self.record.curves[self.metric].steps
        self.cursor_step = shown.neighbour(steps, self.cursor_step, move)
        self._draw_curve()

    def action_no_cursor(self) -> None:
        self.cursor_step = None
        self._draw_curve()

    # Asking the trainer

    def why_not(self, action: str) -> str:
        if action == "start":
            if self._starter.busy:
                return "a run is being started"
            return "this run is at work; stop it first" if self.state and not self.state.ended else ""
        if self.run is None or self.state is None:
            return "" if action in ("metric",) else "no run is open"
        if action.startswith("ask") and self.state.ended:
            return f"the run has ended: {self.state.state.replace('_', ' ')}"
        if action == "chat" and not self._can_chat():
            return "there is nothing to chat with yet: no checkpoint has been saved"
        return ""

    def action_ask(self, what: What) -> None:
        if self.refused(f"ask('{what}')"):
            return
        question = QUESTIONS.get(what)
        if question is None:
            self._request(what)
            return
        from tui.widgets.confirm import Confirm

        self.app.push_screen(Confirm(question, what), lambda yes: self._request(what) if yes else None)

    def _request(self, what: What) -> None:
        assert self.run is not None
        try:
            request(self.run, what)
        except TunedeckError as error:
            self.refuse(str(error))
        else:
            self.say(f"asked for: {what}; the trainer answers between two steps")

    def action_chat(self) -> None:
        if self.refused("chat"):
            return
        assert self.run is not None
        self.post_message(GoTo("chat", OpenRun(self.run.folder)))

    def _can_chat(self) -> bool:
        return bool(self.record.checkpoints) or (self.state is not None and self.state.state == "done")

    # The log

    @on(LogView.SearchAsked)
    def _open_search(self) -> None:
        field = self.query_one("#search", Input)
        field.disabled = False
        field.add_class("open")
        field.focus()

    @on(Input.Submitted, "#search")
    def _search(self, message: Input.Submitted) -> None:
        message.stop()
        self.focus_main()
        self.query_one(LogView).search(message.value)

    def focus_main(self) -> None:
        field = self.query_one("#search", Input)
        field.remove_class("open")
        field.disabled = True
        self.query_one(LogView).focus()

    def commands(self) -> Iterable[Command]:
        if self.run is None:
            return
        for what in get_args(What):
            if not self.why_not(f"ask('{what}')"):
                yield f"run: {what}", f"ask {self.run.id}", partial(self.action_ask, what)
        yield "view: next metric", "loss, learning rate, gradient norm, tokens/s", self.action_metric
        yield "view: log scale", "of the curve", self.action_log_scale
