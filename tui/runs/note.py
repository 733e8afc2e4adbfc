"""A person's own words on a run: its note and its tags, in two fields."""

from __future__ import annotations

import re
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from core.runs.state import RunState

Annotated = tuple[str, tuple[str, ...]]  # note, tags


class NoteScreen(ModalScreen[Annotated | None]):
    """Enter keeps both; esc leaves them as they were."""

    DEFAULT_CSS = """
    NoteScreen { align: center middle; }
    NoteScreen Vertical {
        width: 76; max-width: 100%; height: auto; border: round $border; background: $surface; padding: 0 2;
    }
    NoteScreen Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "leave as it was")]

    def __init__(self, state: RunState) -> None:
        super().__init__()
        self.state = state

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(Content(f"Note on {self.state.id}"))
            yield Input(self.state.note, placeholder="what this run is, or showed", id="note", compact=True)
            yield Static(Content("\nTags, parted by blanks"))
            yield Input(" ".join(self.state.tags), placeholder="keep  baseline", id="tags", compact=True)
            yield Static(
                Content.assemble(
                    "\n", ("enter", "bold"), " keep    ", ("tab", "bold"), " other field    ",
                    ("esc", "bold"), " go back",
                )
            )  # fmt: skip

    @on(Input.Submitted)
    def _keep(self) -> None:
        words = re.split(r"[\s,]+", self.query_one("#tags", Input).value)
        tags = tuple(word.lstrip("#") for word in words if word.lstrip("#"))
        self.dismiss((self.query_one("#note", Input).value.strip(), tags))
