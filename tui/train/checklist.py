"""The checklist before a run: each line appears as it is found; then the person decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from core.runs.preflight import Preflight
from core.runs.surroundings import Check
from tui.widgets.text import visible

MARKS = {
    "ok": ("✓", "$text-success"),
    "warn": ("!", "$text-warning"),
    "fail": ("✗", "$text-error"),
    "skip": ("–", ""),
}


START, QUEUE, BACK = "start", "queue", "back"


class Checklist(ModalScreen[str]):
    """`add` a check, `finish` with the whole list. Answers START, QUEUE or BACK; what is blocked cannot start."""

    DEFAULT_CSS = """
    Checklist { align: center middle; }
    Checklist Vertical {
        width: 76; max-width: 100%; height: auto; max-height: 95%;
        border: round $border; background: $surface; padding: 0 2; overflow-y: auto;
    }
    Checklist Static { height: auto; }
    Checklist #verdict { margin-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer('start')", "start"),
        Binding("w", "answer('queue')", "wait in the queue"),
        Binding("k", "close_chat", "close the chat"),
        Binding("escape,n", "answer('back')", "go back"),
    ]

    def __init__(self, summary: str, close_chat: Callable[[], None], *, can_wait: bool = True) -> None:
        """`close_chat` ends the chat that holds a model too, and checks anew; `can_wait` offers the queue."""
        super().__init__()
        self.can_wait = can_wait
        self._close_chat = close_chat
        self.summary = summary
        self.checks: list[Check] = []
        self.listed: Preflight | None = None
        self.doing = "checking"

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(Content(self.summary))
            yield Static(id="checks")
            yield Static(id="verdict")

    def on_mount(self) -> None:
        self._show()

    def add(self, check: Check) -> None:
        self.checks.append(check)
        self.doing = "checking"
        self._show()

    def busy_with(self, what: str) -> None:
        self.doing = what
        self._show()

    def finish(self, listed: Preflight) -> None:
        self.listed = listed
        self.checks = list(listed.checks)
        self._show()

    def action_answer(self, answer: str) -> None:
        if answer == BACK:
            self.dismiss(BACK)
        elif answer == QUEUE and not self.can_wait:
            self.notify("a run that goes on does not wait in the queue", severity="warning")
        elif self.listed is None:
            self.notify("still checking", severity="warning")
        elif self.listed.blocking:
            self.notify(f"{self.listed.blocking[0].check} blocks it", severity="warning")
        else:
            self.dismiss(answer)

    @property
    def chat_is_open(self) -> bool:
        return self.listed is not None and any(check.check == "chat" for check in self.listed.warnings)

    def action_close_chat(self) -> None:
        if not self.chat_is_open:
            self.notify("no chat holds a model beside this run", severity="warning")
            return
        self.checks, self.listed, self.doing = [], None, "closing the chat"
        self._show()
        self._close_chat()

    def _show(self) -> None:
        if not self.is_mounted:
            return
        lines = [Content.assemble("\n", *_parts(check)) for check in self.checks]
        self.query_one("#checks", Static).update(Content("").join(lines))
        self.query_one("#verdict", Static).update(self._verdict())

    def _verdict(self) -> Content:
        if self.listed is None:
            return Content(f"◌ {self.doing}")
        if self.listed.blocking:
            return Content.assemble("It cannot start.  ", ("esc", "bold"), " go back")
        count = len(self.listed.warnings)
        warned = f"{count} warning{'s' if count > 1 else ''}.  " if count else ""
        return Content.assemble(
            warned,
            ("y", "bold"),
            " start    ",
            *((("w", "bold"), " wait in the queue    ") if self.can_wait else ()),
            ("esc", "bold"),
            " go back",
        )


def _parts(check: Check) -> list[tuple[str, str] | str]:
    mark, style = MARKS[check.state]
    fix = f"\n    {visible(check.fix)}" if check.fix and check.state in ("warn", "fail") else ""
    return [
        (f"{mark} ", f"bold {style}".strip()),
        (f"{check.check}: ", "bold"),
        f"{visible(check.evidence)}{fix}",
    ]
