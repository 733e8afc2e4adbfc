"""The whole-set check of the Data panel, in a process of its own, so that a row never waits for the set."""

from __future__ import annotations

from pathlib import Path

from textual.message import Message
from textual.widget import Widget

from core.data.check import CheckProgress, CheckReport
from core.recipe import Recipe
from tui.jobs import Jobs
from tui.messages import JobFailed, JobProgress, JobResult

POLL_SECONDS = 0.1


class Checker(Widget):
    """Not seen. `start` begins a check and forgets an earlier one; the panel is told by messages."""

    DEFAULT_CSS = "Checker { display: none; }"

    class Told(Message):
        """How far the check is."""

        def __init__(self, progress: CheckProgress) -> None:
            super().__init__()
            self.progress = progress

    class Done(Message):
        """The check's report."""

        def __init__(self, report: CheckReport) -> None:
            super().__init__()
            self.report = report

    class Failed(Message):
        """Why there is no report."""

        def __init__(self, what: str) -> None:
            super().__init__()
            self.what = what

    def __init__(self) -> None:
        super().__init__()
        self._jobs = Jobs()
        self._job = 0

    def on_mount(self) -> None:
        self._timer = self.set_interval(POLL_SECONDS, self._deliver, pause=True)
        self._jobs.wake = self._timer.resume

    def on_unmount(self) -> None:
        self._jobs.close()

    @property
    def running(self) -> bool:
        return self._jobs.busy

    def start(self, recipe: Recipe, workspace: Path) -> None:
        self.stop()
        self._job = self._jobs.submit(self, "core.data.glance:check_set", recipe=recipe, workspace=workspace)

    def stop(self) -> None:
        self._jobs.cancel(self)
        self._job = 0

    def _deliver(self) -> None:
        self._jobs.deliver()
        if not self._jobs.busy:
            self._timer.pause()

    def on_job_progress(self, message: JobProgress) -> None:
        if message.job == self._job:
            self.post_message(self.Told(message.value))

    def on_job_result(self, message: JobResult) -> None:
        if message.job == self._job:
            self.post_message(self.Done(message.value))

    def on_job_failed(self, message: JobFailed) -> None:
        if message.job == self._job:
            self.post_message(self.Failed(message.what))
