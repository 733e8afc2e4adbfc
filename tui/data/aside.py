"""Long work of the Data panel in a process of its own, so that a row never waits for the whole set."""

from __future__ import annotations

from typing import Any

from textual.message import Message
from textual.widget import Widget

from tui.jobs import Jobs
from tui.messages import JobFailed, JobProgress, JobResult

POLL_SECONDS = 0.1


class Aside(Widget):
    """Not seen. `start` begins a job and ends an earlier one; the widgets above are told by messages."""

    DEFAULT_CSS = "Aside { display: none; }"

    class Told(Message):
        """How far the job is."""

        def __init__(self, progress: Any) -> None:
            super().__init__()
            self.progress = progress

    class Done(Message):
        """What the job returned."""

        def __init__(self, value: Any) -> None:
            super().__init__()
            self.value = value

    class Failed(Message):
        """Why there is no result."""

        def __init__(self, what: str) -> None:
            super().__init__()
            self.what = what

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
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

    def start(self, function: str, **arguments: Any) -> None:
        self.stop()
        self._job = self._jobs.submit(self, function, **arguments)

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
