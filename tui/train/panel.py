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
from core.memory.fit import Lever
from core.recipe import Recipe
from core.runs.control import What
from core.runs.find import find_runs
from core.runs.folder import Run
from core.runs.out_of_memory import levers_of
from core.runs.record import Record
from core.runs.state import RunState
from tui.deck import Deck
from tui.messages import CheckRun, FollowRun, JobFailed, JobProgress, JobResult, OpenRun, ResumeRun, StartRun
from tui.panel import Command
from tui.train import shown
from tui.train.asking import KILL, Asking
from tui.train.curves import CurveBoard
from tui.train.follower import Followed, Follower
from tui.train.levers import Levers
from tui.train.lower import LOG, NOTES, Lower
from tui.train.starter import Starter
from tui.train.values import figures
from tui.widgets.bars import Bar, Part
from tui.widgets.figures import Figures
from tui.widgets.log_view import LogView
from tui.widgets.text import visible

NO_RUN = " No run here yet. r starts one of the recipe; a checklist comes first."


class Newest(Message, bubble=False):
    """The run to open when none was named."""

    def __init__(self, folder: Path | None) -> None:
        super().__init__()
        self.folder = folder


class Priced(Message, bubble=False):
    """What would have made a run fit that ran out of memory."""

    def __init__(self, folder: Path, levers: tuple[Lever, ...]) -> None:
        super().__init__()
        self.folder = folder
        self.levers = levers


class TrainPanel(Asking):
    """Headline, curves, figures; below them log, notes, samples and levers."""

    HELP = """
    One run, as its folder tells it. Leaving the app or closing the terminal does not touch the run;
    opening the app again finds it.

    The curve shows every step as a dot and the smoothed loss as a line; left and right move a cursor,
    + and - look closer at the newest steps or around the cursor, m takes the next metric. v changes what is
    below: log, notes (warnings, errors, answers), sample answers, and after a lack of memory the levers.
    """
    SCOPED_CSS = False  # the width class is on the screen above
    DEFAULT_CSS = """
    TrainPanel #body { height: 14; }
    TrainPanel Figures { height: 5; }
    TrainPanel #search { display: none; padding: 0 1; background: $panel; }
    TrainPanel #search.open { display: block; }
    .-wide TrainPanel #body, .-widest TrainPanel #body { layout: horizontal; height: 20; }
    .-wide TrainPanel CurveBoard, .-widest TrainPanel CurveBoard { width: 1fr; height: 20; }
    .-wide TrainPanel Figures, .-widest TrainPanel Figures { width: 36; height: 20; }
    .-widest TrainPanel #body, .-widest TrainPanel CurveBoard, .-widest TrainPanel Figures { height: 24; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "view", "next view"),
        Binding("r", "start", "start a run"),
        Binding("m", "metric", "next metric", show=False),
        Binding("l", "log_scale", "log scale", show=False),
        Binding("plus,equals_sign", "zoom(2)", "zoom in", show=False),
        Binding("minus", "zoom(0.5)", "zoom out", show=False),
        Binding("right", "cursor(1)", "cursor right", show=False),
        Binding("left", "cursor(-1)", "cursor left", show=False),
        Binding("shift+right", "cursor(10)", "ten steps right", show=False),
        Binding("shift+left", "cursor(-10)", "ten steps left", show=False),
        Binding("0", "no_cursor", "cursor off", show=False),
    ]

    def __init__(self, deck: Deck) -> None:
        super().__init__(deck)
        self.price_per_hour: float | None = None
        self._starter = Starter(
            self, said=self._say_starting, started=self.open_run, failed=self._say_not_started
        )
        self._then_chat = False
        self._follower: Follower | None = None

    def compose(self) -> ComposeResult:
        yield Bar(id="headline")
        with Container(id="body"):
            yield CurveBoard()
            yield Figures(id="figures")
        yield Lower()
        yield Input(placeholder="search the log", id="search", disabled=True, compact=True)

    # Which run

    def shown(self) -> None:
        if self.run is None and not self._starter.busy:
            self._find_newest()

    @work(thread=True, exclusive=True, exit_on_error=False, group="newest")
    def _find_newest(self) -> None:
        runs = find_runs(self.deck.workspace)
        living = sorted(
            (state for state in runs if not state.ended), key=lambda state: state.phase == "queued"
        )
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
        self.query_one(CurveBoard).start(self.record)
        self.query_one(Lower).start(_steps_between_samples(self.run))
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
        self.price_per_hour = message.price
        self.state = message.state or self.state
        self._draw()
        if len(self.record.checkpoints) != saved:
            self.refresh_bindings()
        if self.state is not None and (before is None or before.state != self.state.state):
            self.refresh_bindings()
            self._changed(self.state)

    def _changed(self, state: RunState) -> None:
        """The run is in another state now, or was just opened."""
        if state.state == "out_of_memory":
            self._price_levers(state.folder)
        elif state.state in ("failed", "lost"):
            self.query_one(Lower).bring(NOTES)
        if self._then_chat and state.state == "done":
            self._then_chat = False
            self.action_chat()

    @work(thread=True, exclusive=True, exit_on_error=False, group="levers")
    def _price_levers(self, folder: Path) -> None:
        self.post_message(Priced(folder, levers_of(Run(folder))))

    def on_priced(self, message: Priced) -> None:
        if self.run is None or message.folder != self.run.folder:
            return
        lower = self.query_one(Lower)
        if message.levers:
            lower.offer(message.levers)
        else:
            lower.bring(NOTES)
        self.refresh_bindings()

    # Starting one

    def action_start(self) -> None:
        self._check(self.deck.recipe)

    def on_check_run(self, message: CheckRun) -> None:
        self._check(message.recipe, message.name)

    def _check(self, recipe: Recipe, name: str | None = None) -> None:
        if self.refused("start"):
            return
        try:
            self._starter.check(recipe, name)
        except OSError as error:
            self.refuse(f"nothing can be written to {self.deck.workspace.runs}: {error.strerror}")

    def on_resume_run(self, message: ResumeRun) -> None:
        if self.refused("start"):
            return
        if self.run is None or self.run.folder != message.folder:
            self.open_run(message.folder)
        try:
            self._starter.resume(Run(message.folder))
        except (TunedeckError, OSError) as error:
            self.refuse(str(error))

    def on_start_run(self, message: StartRun) -> None:
        self._then_chat = message.then_chat
        self._starter.launch(message.recipe)

    def on_job_progress(self, message: JobProgress) -> None:
        self._starter.progress(message.job, message.value)

    def on_job_result(self, message: JobResult) -> None:
        self._starter.result(message.job, message.value)

    def on_job_failed(self, message: JobFailed) -> None:
        self._starter.failed(message.job, message.what)

    def on_levers_chosen(self, message: Levers.Chosen) -> None:
        message.stop()
        if self.run is not None and not self.refused("start"):
            self._starter.again(self.run, message.lever.changes)

    def _say_starting(self, what: str) -> None:
        self.query_one("#headline", Bar).put(0, [Part(f" ◌ starting: {what}")])

    def _say_not_started(self, why: str) -> None:
        self.query_one("#headline", Bar).put(0, [Part(NO_RUN, "muted")])
        self.query_one("#note", Bar).put(0, [Part(f" ✗ {visible(why)}", "bad")])
        self.notify(why, severity="error", timeout=20)

    def why_not(self, action: str) -> str:
        if action == "start":
            return "a run is being started" if self._starter.busy else ""
        if action == "view" and self.run is None:
            return "no run is open"
        return super().why_not(action)

    # Drawing

    def _draw(self) -> None:
        if self.state is None:
            return
        with self.app.batch_update():
            self.query_one("#headline", Bar).put(0, shown.headline(self.state, self.record))
            self.query_one(Figures).tell(figures(self.state, self.record, self.price_per_hour))
            self.query_one(CurveBoard).draw()
            self.query_one(Lower).tell(self.state, self.record)

    def action_view(self) -> None:
        self.query_one(Lower).next_view()

    def action_metric(self) -> None:
        self.query_one(CurveBoard).next_metric()

    def action_log_scale(self) -> None:
        self.query_one(CurveBoard).switch_log_scale()

    def action_zoom(self, factor: float) -> None:
        self.query_one(CurveBoard).zoom_by(factor)

    def action_cursor(self, points: int) -> None:
        self.query_one(CurveBoard).move_cursor(points)

    def action_no_cursor(self) -> None:
        self.query_one(CurveBoard).no_cursor()

    # The log

    @on(LogView.SearchAsked)
    def _open_search(self) -> None:
        self.query_one(Lower).bring(LOG)
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
        self.query_one(Lower).in_front.focus()

    def commands(self) -> Iterable[Command]:
        if self.run is None:
            return
        for what in (*get_args(What), KILL):
            if not self.why_not(f"ask('{what}')"):
                yield f"run: {what}", f"ask {self.run.id}", partial(self.action_ask, what)
        if not self.why_not("resume"):
            yield "run: resume", f"{self.run.id}, from its last checkpoint", self.action_resume
        yield "view: next view", "log, notes, sample answers, levers", self.action_view
        yield "view: next metric", "loss, learning rate, gradient norm, tokens/s", self.action_metric
        yield "view: log scale", "of the curve", self.action_log_scale


def _steps_between_samples(run: Run) -> int:
    """How often the run answers its fixed prompts; 0 if it does not, or its recipe cannot be read."""
    try:
        training = run.read_recipe().training
    except (TunedeckError, OSError):
        return 0
    return training.sample_steps if training.sample_prompts else 0
