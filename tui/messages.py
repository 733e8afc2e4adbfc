"""Messages between the app and its panels. Panels never import one another: they ask the app.

Those that go down to one panel do not bubble; those that go up to the app do.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.message import Message

from tui.widgets.bars import Part

if TYPE_CHECKING:
    from core.recipe import Recipe
    from core.runs.state import RunState

NOTHING = Part("")


class JobProgress(Message, bubble=False):
    """A job this panel submitted reports how far it is."""

    def __init__(self, job: int, value: Any) -> None:
        super().__init__()
        self.job = job
        self.value = value

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, JobProgress) and message.job == self.job


class JobResult(Message, bubble=False):
    """A job this panel submitted is done; `value` is what its function returned."""

    def __init__(self, job: int, value: Any) -> None:
        super().__init__()
        self.job = job
        self.value = value


class JobFailed(Message, bubble=False):
    """A job this panel submitted ended without a result; `what` is for a person to read."""

    def __init__(self, job: int, what: str) -> None:
        super().__init__()
        self.job = job
        self.what = what


class RecipeChanged(Message, bubble=False):
    """The recipe is another one now; sent to every mounted panel, also to the one that changed it."""

    def __init__(self, before: Recipe, after: Recipe) -> None:
        super().__init__()
        self.before = before
        self.after = after


class RecipeEdited(Message):
    """Up to the app: a panel has changed the recipe (`Panel.change_recipe` sends it)."""

    def __init__(self, before: Recipe, after: Recipe) -> None:
        super().__init__()
        self.before = before
        self.after = after


class GoTo(Message):
    """Up to the app: show the panel of that name ("train"), then hand it `message` if there is one."""

    def __init__(self, panel: str, message: Message | None = None) -> None:
        super().__init__()
        self.panel = panel
        self.message = message


class OpenRun(Message, bubble=False):
    """Down to the Chat panel (or Train): this run, please."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder


class FollowRun(Message, bubble=False):
    """Down to the Train panel: show this run. With `then_chat` the chat opens when it is done."""

    def __init__(self, folder: Path, *, then_chat: bool = False) -> None:
        super().__init__()
        self.folder = folder
        self.then_chat = then_chat


class StartRun(Message, bubble=False):
    """Down to the Train panel: start a run of this recipe. With `then_chat` the chat opens when it is done."""

    def __init__(self, recipe: Recipe, *, then_chat: bool = False) -> None:
        super().__init__()
        self.recipe = recipe
        self.then_chat = then_chat


class CheckRun(Message, bubble=False):
    """Down to the Train panel: go through the checklist of this recipe, and start it if the person says so."""

    def __init__(self, recipe: Recipe, name: str | None = None) -> None:
        """`name` is the short name of the run."""
        super().__init__()
        self.recipe = recipe
        self.name = name


class ResumeRun(Message, bubble=False):
    """Down to the Train panel: go through the checklist of this ended run, and go on with it if the person says so."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder


class Pulsed(Message):
    """To the app: the right side of the header, devices and the newest living run, ready to draw."""

    def __init__(self, device: Part = NOTHING, run: Part = NOTHING) -> None:
        super().__init__()
        self.device = device
        self.run = run

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Pulsed)


class RunEnded(Message):
    """To the app: a run that was at work has ended."""

    def __init__(self, state: RunState) -> None:
        super().__init__()
        self.state = state
