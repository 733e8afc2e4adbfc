"""The field one writes a prompt in: Enter asks, Ctrl+J breaks the line."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import TextArea


class Prompt(TextArea):
    """Grows from one line to six. What is written stays until it has been asked."""

    HELP = (
        "Write a prompt. Enter asks every voice; Ctrl+J or Alt+Enter breaks the line; esc leaves the field."
    )
    DEFAULT_CSS = """
    Prompt, Prompt:focus { height: auto; min-height: 1; max-height: 6; border: none; padding: 0 1; background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "ask", "ask"),
        Binding("ctrl+j,alt+enter,shift+enter", "newline", "new line", show=False),
    ]

    class Asked(Message):
        """Enter was pressed."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(
        self, text: str = "", *, placeholder: str = "", may_be_empty: bool = False, id: str | None = None
    ) -> None:
        super().__init__(text, id=id, compact=True, highlight_cursor_line=False, placeholder=placeholder)
        self.may_be_empty = may_be_empty

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            self.action_ask()
            return
        await super()._on_key(event)

    def action_ask(self) -> None:
        if self.text.strip() or self.may_be_empty:
            self.post_message(self.Asked(self.text))

    def action_newline(self) -> None:
        self.insert("\n")
