"""What a person asks of the run in view: checkpoint, stop, kill, resume, chat; and why one cannot be asked now."""

from __future__ import annotations

from typing import ClassVar, cast

from textual import work
from textual.binding import Binding, BindingType

from core.errors import TunedeckError
from core.runs.control import What, kill, request
from core.runs.folder import Run
from core.runs.record import Record
from core.runs.state import RunState
from tui.deck import Deck
from tui.messages import GoTo, OpenRun, ResumeRun
from tui.panel import Panel

KILL = "kill"
QUESTIONS = {
    "stop-and-save": "Stop the run now and save a checkpoint it can be resumed from?",
    "stop": "Stop the run now WITHOUT saving? What came after its last checkpoint is lost.",
    KILL: "End the trainer's process AT ONCE, without saving? Only for a run that does not answer: "
    "what came after its last checkpoint is lost.",
}


class Asking(Panel):
    """A panel with one run in view, and the keys that ask something of it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "ask('checkpoint')", "checkpoint"),
        Binding("s", "ask('stop-and-save')", "save and stop"),
        Binding("u", "resume", "resume"),
        Binding("t", "chat", "chat with it"),
        Binding("x", "ask('stop')", "stop unsaved", show=False),
        Binding("K", "ask('kill')", "kill", show=False),
    ]

    def __init__(self, deck: Deck) -> None:
        super().__init__(deck)
        self.run: Run | None = None
        self.state: RunState | None = None
        self.record = Record()

    def why_not(self, action: str) -> str:
        if self.run is None or self.state is None:
            return "no run is open" if action in ("resume", "chat") or action.startswith("ask") else ""
        if action.startswith("ask") and self.state.ended:
            return f"the run has ended: {self.state.state.replace('_', ' ')}"
        if action == "resume":
            return "the run is at work" if not self.state.ended else _why_not_resumed(self.state)
        if action == "chat" and not self._can_chat():
            return "there is nothing to chat with yet: no checkpoint has been saved"
        return ""

    def action_ask(self, what: str) -> None:
        if self.refused(f"ask('{what}')"):
            return
        question = QUESTIONS.get(what)
        if question is None:
            self._request(what)
            return
        from tui.widgets.confirm import Confirm

        self.app.push_screen(Confirm(question, what), lambda yes: self._request(what) if yes else None)

    def _request(self, what: str) -> None:
        assert self.run is not None
        if what == KILL:
            self._kill(self.run)
            return
        try:
            request(self.run, cast(What, what))
        except TunedeckError as error:
            self.refuse(str(error))
        else:
            self.say(f"asked for: {what}; the trainer answers between two steps")

    @work(thread=True, exit_on_error=False, group="kill")
    def _kill(self, run: Run) -> None:
        """In a thread: it waits until the process is gone."""
        try:
            killed = kill(run)
        except TunedeckError as error:
            self.app.call_from_thread(self.refuse, str(error))
        else:
            self.app.call_from_thread(self.say, "killed" if killed else "it no longer lives")

    def action_resume(self) -> None:
        if not self.refused("resume") and self.run is not None:
            self.post_message(ResumeRun(self.run.folder))

    def action_chat(self) -> None:
        if self.refused("chat"):
            return
        assert self.run is not None
        self.post_message(GoTo("chat", OpenRun(self.run.folder)))

    def _can_chat(self) -> bool:
        return bool(self.record.checkpoints) or (self.state is not None and self.state.state == "done")


def _why_not_resumed(state: RunState) -> str:
    return "the run is done; to train on, start a new one with more epochs" if state.state == "done" else ""
