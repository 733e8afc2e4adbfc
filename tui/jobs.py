"""Heavy work for the panels: one workshop process, its messages delivered to the panel that asked.

Job numbers are the deck's own, so that a job of another panel survives the restart that cancelling costs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual.message import Message
from textual.message_pump import MessagePump

from tui.messages import JobFailed, JobProgress, JobResult

if TYPE_CHECKING:
    from core.workshop import Workshop


@dataclass(frozen=True, slots=True)
class Job:
    """What was asked, by whom; enough to ask again."""

    number: int
    owner: MessagePump
    function: str
    arguments: dict[str, Any]


class Jobs:
    """The queue of the one workshop. Used from the app's own thread only."""

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        """`wake` is called when a job is submitted; the app then calls `deliver` until `busy` is False."""
        self._workshop: Workshop | None = (
            None  # made with the first job; multiprocessing takes time to import
        )
        self.wake = wake
        self._last = 0
        self._open: dict[int, Job] = {}  # by the workshop's number, in the order submitted

    @property
    def busy(self) -> bool:
        return bool(self._open)

    def submit(self, owner: MessagePump, function: str, **arguments: Any) -> int:
        """Queue `function` ("core.data.view:show_row"); `owner` gets JobProgress, JobResult or JobFailed."""
        self._last += 1
        self._send(Job(self._last, owner, function, arguments))
        self.wake()
        return self._last

    def cancel(self, owner: MessagePump) -> None:
        """Forget the owner's jobs. The process ends if one of them is at work; others' jobs start again."""
        if not any(job.owner is owner for job in self._open.values()):
            return
        others = [job for job in self._open.values() if job.owner is not owner]
        self._shop.cancel()
        self._open.clear()
        for job in others:
            self._send(job)

    def deliver(self) -> None:
        """Hand what has arrived to the owners. Never waits."""
        from core.workshop import Failure, Progress

        for message in self._shop.poll():
            job = self._open.get(message.job)
            if job is None:
                continue
            if isinstance(message, Progress):
                job.owner.post_message(JobProgress(job.number, message.value))
                continue
            del self._open[message.job]
            answer: Message
            if isinstance(message, Failure):
                answer = JobFailed(job.number, message.what)
            else:
                answer = JobResult(job.number, message.value)
            job.owner.post_message(answer)

    def close(self) -> None:
        self._open.clear()
        if self._workshop is not None:
            self._workshop.close()

    def _send(self, job: Job) -> None:
        self._open[self._shop.submit(job.function, **job.arguments)] = job

    @property
    def _shop(self) -> Workshop:
        if self._workshop is None:
            from core.workshop import Workshop

            self._workshop = Workshop()
        return self._workshop
