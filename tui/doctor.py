"""The doctor's report as a screen: checks appear as they end, the live steps run in the workshop."""

from __future__ import annotations

from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen

from core.doctor import Check, examine
from tui.deck import Deck
from tui.messages import JobFailed, JobProgress, JobResult
from tui.widgets.bars import Bar, Part
from tui.widgets.text import visible, wrap
from tui.widgets.text_view import Line, TextView

_MARKS = {"ok": ("✓", "good"), "warn": ("!", "warn"), "fail": ("✗", "bad"), "skip": ("-", "muted")}

_MARGIN = 28  # cells before what was seen: mark and name


class Checked(Message, bubble=False):
    """One check has ended; None: all quick ones have."""

    def __init__(self, check: Check | None) -> None:
        super().__init__()
        self.check = check


class DoctorScreen(ModalScreen[None]):
    """esc or q closes it, and ends the live steps if they are still at work."""

    DEFAULT_CSS = """
    DoctorScreen { align: center middle; }
    DoctorScreen Vertical { width: 100%; height: 100%; background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "close", "back")]

    def __init__(self, deck: Deck) -> None:
        super().__init__()
        self.deck = deck
        self.checks: list[Check] = []
        self._live = 0
        self._told = 0
        self.ended = False

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Bar(id="title")
            yield TextView()

    def on_mount(self) -> None:
        self._examine()
        self._draw()

    @work(thread=True, exclusive=True, exit_on_error=False)
    def _examine(self) -> None:
        for check in examine(self.deck.workspace, live=False):
            self.post_message(Checked(check))
        self.post_message(Checked(None))

    def on_checked(self, message: Checked) -> None:
        if message.check is not None:
            self.checks.append(message.check)
        else:
            self._live = self.deck.jobs.submit(self, "core.doctor.live:try_out")
        self._draw()

    def on_job_progress(self, message: JobProgress) -> None:
        # Progress messages may replace one another; the result holds them all.
        if message.job == self._live:
            self._told += 1
            self._draw()

    def on_job_result(self, message: JobResult) -> None:
        if message.job == self._live:
            self.checks += message.value
            self.ended = True
            self._draw()

    def on_job_failed(self, message: JobFailed) -> None:
        if message.job == self._live:
            self.checks.append(Check("live", "fail", message.what))
            self.ended = True
            self._draw()

    def action_close(self) -> None:
        self.deck.jobs.cancel(self)
        self.dismiss()

    def _draw(self) -> None:
        failed = sum(check.state == "fail" for check in self.checks)
        state = "looking" if not self._live else "trying the work itself" if not self.ended else "done"
        verdict = f"{failed} things need you" if failed else "nothing that is needed is missing"
        title = [Part(" doctor ", "name"), Part(f" {state} ", "muted")]
        if self.ended:
            title.append(Part(verdict, "bad" if failed else "good"))
        self.query_one("#title", Bar).put(0, [*title, Part("   esc", "key"), Part(" back")])
        report = self.query_one(TextView)
        room = max((report.size.width or self.size.width) - _MARGIN, 20)
        lines = [line for check in self.checks for line in check_lines(check, room)]
        report.show(lines, keep_place=True)

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)


def check_lines(check: Check, room: int) -> list[Line]:
    """A check in lines whose text is `room` cells wide: mark and name, what was seen, and what to do."""
    mark, style = _MARKS[check.state]
    seen = wrap(visible(check.evidence), room)
    lines: list[Line] = [(f" {mark} {check.check:<24} {seen[0]}", style if check.state != "ok" else "")]
    lines += [(f"{'':{_MARGIN}}{line}", style if check.state != "ok" else "") for line in seen[1:]]
    if check.fix and check.state != "ok":
        lines += [(f"{'':{_MARGIN}}{line}", "muted") for line in wrap(visible(check.fix), room)]
    return lines
