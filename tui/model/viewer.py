"""The small text files of a model, as text: config, template, README."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from tui.widgets.bars import Bar, Part
from tui.widgets.text_view import TextView


class Viewer(ModalScreen[None]):
    """Left and right change the file; esc or q goes back."""

    DEFAULT_CSS = """
    Viewer { align: center middle; }
    Viewer Vertical { width: 100%; height: 100%; background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,tab", "turn(1)", "next file"),
        Binding("left,shift+tab", "turn(-1)", "file before"),
        Binding("escape,q,o", "close", "back"),
    ]

    def __init__(self, title: str, files: list[tuple[str, str]]) -> None:
        super().__init__()
        self.title = title
        self.files = files
        self.number = 0

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Bar(id="names")
            yield TextView()
            yield Bar(id="keys")

    def on_mount(self) -> None:
        self.query_one("#keys", Bar).put(
            0, [Part(" ← →", "key"), Part(" file  "), Part("esc", "key"), Part(" back")]
        )
        self._show()

    def action_turn(self, by: int) -> None:
        self.number = (self.number + by) % len(self.files)
        self._show()

    def action_close(self) -> None:
        self.dismiss()

    def _show(self) -> None:
        names = [
            Part(f" {name} ", "current" if number == self.number else "muted")
            for number, (name, _) in enumerate(self.files)
        ]
        self.query_one("#names", Bar).put(0, names)
        self.query_one(TextView).show([(line, "") for line in self.files[self.number][1].split("\n")])
