"""Two small real panels for the tests of the shell."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding
from textual.widgets import Input, Static

from core.errors import TunedeckError
from tui.app import PanelSpec
from tui.messages import GoTo, JobFailed, JobResult, OpenRun, RecipeChanged
from tui.panel import Panel


class FirstPanel(Panel):
    """Lists what it was told; `b` cannot work until something was told."""

    HELP = "The first panel."
    BINDINGS: ClassVar = [
        Binding("a", "add", "add"),
        Binding("b", "stop", "stop it"),
        Binding("c", "add", "again"),
        Binding("d", "four", "four"),
        Binding("e", "five", "five"),
        Binding("f", "six", "six"),
    ]

    def __init__(self, deck) -> None:
        super().__init__(deck)
        self.told: list[object] = []

    def compose(self):
        text = Static("first", markup=False)
        text.can_focus = True
        yield text

    def why_not(self, action: str) -> str:
        return "nothing to stop" if action == "stop" and not self.told else ""

    def action_add(self) -> None:
        self.change_recipe({"tuner.rank": 8})

    def action_stop(self) -> None:
        if self.refused("stop"):
            return
        self.post_message(GoTo("second", OpenRun(self.deck.workspace.root / "runs" / "one")))

    def on_recipe_changed(self, message: RecipeChanged) -> None:
        self.told.append((message.before.tuner.rank, message.after.tuner.rank))
        self.refresh_bindings()

    def on_job_result(self, message: JobResult) -> None:
        self.told.append((message.job, message.value))

    def on_job_failed(self, message: JobFailed) -> None:
        self.told.append((message.job, message.what))


class SecondPanel(FirstPanel):
    HELP = None

    def compose(self):
        yield Input()

    def on_open_run(self, message: OpenRun) -> None:
        self.told.append(message.folder.name)


SAMPLES = (
    PanelSpec("1", "first", "First", "tests.tui.sample_panels:FirstPanel"),
    PanelSpec("2", "second", "Second", "tests.tui.sample_panels:SecondPanel"),
)


def double(value, progress):
    """A job."""
    return value * 2


def fail(progress):
    """A job a person's data can break."""
    raise TunedeckError("row 3 has no answer", fix="add one")
