"""Starting a run from the Train panel, or going on with one: the checklist in the workshop, the person's word, then the launch."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.data.check import CheckProgress
from core.errors import TunedeckError
from core.recipe import Recipe
from core.runs.folder import Run
from core.runs.preflight import Preflight
from core.runs.resume import resume
from core.runs.surroundings import Check
from tui.panel import Panel
from tui.train.checklist import QUEUE, START, Checklist
from tui.train.shown import summary, summary_of_resume


class Starter:
    """One start at a time; the panel hands on the messages of its jobs and is told what came of them."""

    def __init__(
        self,
        panel: Panel,
        *,
        said: Callable[[str], None],
        started: Callable[[Path], None],
        failed: Callable[[str], None],
    ) -> None:
        """`said` takes what is being done, `started` the folder of the run, `failed` why there is none."""
        self.panel = panel
        self._said, self._started, self._failed = said, started, failed
        self._checking = 0  # numbers of the open jobs
        self._launching = 0
        self._closing = 0
        self._screen: Checklist | None = None
        self._rows: Path | None = None  # prepared by the checklist; the run takes them from the cache
        self._recipe = panel.deck.recipe
        self._name: str | None = None
        self._ended: Run | None = None  # to go on with, where the checklist is not of a new run

    @property
    def busy(self) -> bool:
        return bool(self._checking or self._launching)

    def check(self, recipe: Recipe, name: str | None = None) -> None:
        """Show the checklist of a recipe and start it if the person says so. Raises OSError if nothing can be written."""
        workspace = self.panel.deck.workspace
        workspace.runs.mkdir(parents=True, exist_ok=True)
        self._rows = Path(tempfile.mkdtemp(prefix=".preflight-", dir=workspace.runs))
        self._recipe, self._name, self._ended = recipe, name, None
        self._show(Checklist(summary(recipe), self._close_chat))

    def resume(self, run: Run) -> None:
        """Show what may have changed since an ended run was started, and go on with it if the person says so.

        Raises TunedeckError or OSError if its recipe cannot be read.
        """
        self._recipe, self._ended = run.read_recipe(), run
        self._show(Checklist(summary_of_resume(run, self._recipe), self._close_chat, can_wait=False))

    def _show(self, screen: Checklist) -> None:
        self._screen = screen
        self.panel.app.push_screen(screen, self._decided)
        self._check()

    def _check(self) -> None:
        if self._ended is not None:
            self._checking = self.panel.submit(
                "core.runs.preflight:preflight_resume",
                workspace=self.panel.deck.workspace,
                run=self._ended,
            )
            return
        assert self._rows is not None
        self._checking = self.panel.submit(
            "core.runs.preflight:preflight",
            workspace=self.panel.deck.workspace,
            recipe=self._recipe,
            out=self._rows / "data",
        )

    def _close_chat(self) -> None:
        self._closing = self.panel.submit("core.runs.surroundings:close_chats", recipe=self._recipe)

    def launch(self, recipe: Recipe) -> None:
        """Prepare, price and launch; the trainer is a process of its own from the first moment."""
        self._launch("core.runs.start:start", recipe=recipe)

    def again(self, run: Run, changes: dict[str, Any]) -> None:
        """Launch a new run like an old one, with keys of its recipe changed."""
        self._launch("core.runs.out_of_memory:again_with", run=run, changes=changes)

    def _launch(self, function: str, **arguments: Any) -> None:
        self._launching = self.panel.submit(function, workspace=self.panel.deck.workspace, **arguments)
        self._said("preparing the rows")

    def progress(self, job: int, value: Any) -> None:
        if job == self._checking and self._screen is not None:
            if isinstance(value, Check):
                self._screen.add(value)
            else:
                doing = "checking" if isinstance(value, CheckProgress) else "preparing"
                self._screen.busy_with(f"{doing} the rows: {value.done} of {value.total}")
        elif job == self._launching:
            self._said(f"preparing the rows: {value.done} of {value.total}")

    def result(self, job: int, value: Any) -> None:
        if job == self._checking:
            self._checking = 0
            if self._screen is not None and isinstance(value, Preflight):
                self._screen.finish(value)
        elif job == self._closing and self._screen is not None:
            self._closing = 0
            self._check()
        elif job == self._launching:
            self._launching = 0
            self._forget_rows()
            self._started(value.folder)

    def failed(self, job: int, what: str) -> None:
        if job in (self._checking, self._closing) and self._screen is not None:
            self._checking = self._closing = 0
            self._screen.finish(Preflight((*self._screen.checks, Check("checklist", "fail", what))))
        elif job == self._launching:
            self._launching = 0
            self._forget_rows()
            self._failed(what)

    def _decided(self, answer: str | None) -> None:
        self._screen = None
        if self._checking or self._closing:
            self._checking = self._closing = 0
            self.panel.cancel_jobs()
        if answer == START and self._ended is not None:
            self._go_on(self._ended)
        elif answer == START:
            self._launch("core.runs.start:start", recipe=self._recipe, name=self._name)
        elif answer == QUEUE:
            self._launch("core.runs.queue:enqueue", recipe=self._recipe, name=self._name)
        else:
            self._forget_rows()

    def _go_on(self, run: Run) -> None:
        try:
            step = resume(run)
        except TunedeckError as error:
            self.panel.refuse(str(error))
        else:
            self.panel.say(f"goes on from step {step}" if step else "starts again: it has no checkpoint")
            self._started(run.folder)

    def _forget_rows(self) -> None:
        """In a thread: a prepared set may be gigabytes."""
        if self._rows is not None:
            threading.Thread(target=shutil.rmtree, args=(self._rows, True), daemon=True).start()
            self._rows = None
