"""A new run like an old one: the keys of its recipe that shall differ, checked while they are typed."""

from __future__ import annotations

import shlex
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from core.errors import TunedeckError
from core.recipe import Recipe, differences, parse_recipe
from core.runs.folder import Run
from tui.widgets.text import visible


class AgainScreen(ModalScreen[Recipe | None]):
    """Answers the changed recipe; None when the person goes back."""

    DEFAULT_CSS = """
    AgainScreen { align: center middle; }
    AgainScreen Vertical {
        width: 76; max-width: 100%; height: auto; max-height: 95%;
        border: round $border; background: $surface; padding: 0 2; overflow-y: auto;
    }
    AgainScreen Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "go back")]

    def __init__(self, run: Run, text: str) -> None:
        """`text` is the run's recipe as it was started."""
        super().__init__()
        self.run = run
        self.text = text
        self.before = parse_recipe(text, where=str(run.recipe))
        self.changed: Recipe | None = self.before
        self.said = ""  # what the changes come to, or why they cannot be

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(Content(f"A new run like {visible(self.run.id)}, with these changes:"))
            yield Input(placeholder="tuner.rank=8 training.epochs=1", id="changes", compact=True)
            yield Static(id="said")
            yield Static(
                Content.assemble(
                    "\n", ("enter", "bold"), " to the checklist    ", ("esc", "bold"), " go back"
                )
            )

    def on_mount(self) -> None:
        self._check("")

    @on(Input.Changed)
    def _typed(self, message: Input.Changed) -> None:
        self._check(message.value)

    @on(Input.Submitted)
    def _go_on(self) -> None:
        if self.changed is None:
            self.notify("these changes cannot be made", severity="warning")
        else:
            self.dismiss(self.changed)

    def _check(self, typed: str) -> None:
        try:
            self.changed = parse_recipe(self.text, shlex.split(typed), where="changes")
            self.said = _in_words(self.before, self.changed)
        except (TunedeckError, ValueError) as error:
            self.changed = None
            self.said = f"✗ {error}"
        self.query_one("#said", Static).update(Content(f"\n{visible(self.said, lines=True)}"))


def _in_words(before: Recipe, after: Recipe) -> str:
    old = before.model_dump()
    lines = []
    for key, value in differences(before, after).items():
        section, _, name = key.partition(".")
        lines.append(f"{key}: {old[section].get(name)} -> {value}")
    return "\n".join(lines) or "no change yet: the same recipe once more"
