"""The one-line field of the Data panel: what to find, where to go, which template, which length."""

from __future__ import annotations

from typing import ClassVar, Literal

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input

What = Literal["find", "row", "batch", "compare", "template", "max_length"]
_PLACEHOLDERS: dict[What, str] = {
    "find": "text, tokens>500, trained<10%, error, warning, or a finding's code",
    "row": "row number",
    "batch": "batch number",
    "compare": "a loss mode, trl-training, a template file or another model",
    "template": "model, trl-training, a template file or another model",
    "max_length": "tokens per row at most",
}


class Ask(Input):
    """Hidden until `open`. `Answered` says what was typed; escape leaves it."""

    TITLE = "The field"
    HELP = "Enter takes what is written, escape leaves the field."
    DEFAULT_CSS = """
    Ask { display: none; height: 1; border: none; padding: 0 1; background: $panel; }
    Ask:focus { border: none; }
    Ask.open { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "leave field", show=False)]

    class Wanted(Message):
        """A part of the panel wants the field to be opened."""

        def __init__(self, what: What) -> None:
            super().__init__()
            self.what = what

    class Answered(Message):
        """Enter was pressed."""

        def __init__(self, what: What, text: str) -> None:
            super().__init__()
            self.what = what
            self.text = text

    class Left(Message):
        """The field is closed again."""

    def __init__(self) -> None:
        super().__init__(compact=True, disabled=True)
        self.what: What = "find"

    def open(self, what: What, value: str = "") -> None:
        self.what = what
        self.placeholder = _PLACEHOLDERS[what]
        self.value = value
        self.cursor_position = len(value)
        self.disabled = False
        self.add_class("open")
        self.focus()

    def action_leave(self) -> None:
        self.remove_class("open")
        self.disabled = True
        self.post_message(self.Left())

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_leave()
        self.post_message(self.Answered(self.what, event.value.strip()))
