"""A text in a window of its own, to be changed: a prompt, an answer, the system prompt."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from tui.chat.prompt import Prompt
from tui.widgets.bars import Bar, Part


class WriteScreen(ModalScreen[str | None]):
    """Enter takes the text, Ctrl+J breaks the line, esc leaves everything as it was."""

    DEFAULT_CSS = """
    WriteScreen { align: center middle; }
    WriteScreen Vertical { width: 90%; height: auto; max-height: 90%; border: round $border; background: $surface; }
    WriteScreen Prompt, WriteScreen Prompt:focus { height: auto; min-height: 5; max-height: 18; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "close", show=False)]

    def __init__(self, title: str, text: str, *, may_be_empty: bool = False) -> None:
        super().__init__()
        self.heading = title
        self.given = text
        self.may_be_empty = may_be_empty

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Bar(id="title")
            yield Prompt(self.given, may_be_empty=self.may_be_empty, id="writing")
            yield Bar(id="keys")

    def on_mount(self) -> None:
        self.query_one("#title", Bar).put(0, [Part(f" {self.heading}", "name")])
        self.query_one("#keys", Bar).put(
            0, [Part(" Enter takes it · Ctrl+J breaks the line · esc leaves it as it was", "muted")]
        )
        field = self.query_one(Prompt)
        field.focus()
        field.move_cursor(field.document.end)

    @on(Prompt.Asked)
    def _taken(self, message: Prompt.Asked) -> None:
        message.stop()
        self.dismiss(message.text)
