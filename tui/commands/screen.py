"""Opening the full-screen app. Textual is imported here, after its environment has been set."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UsageError
from core.workspace import Workspace

if TYPE_CHECKING:
    from textual.message import Message

    from core.recipe import Recipe
    from tui.deck import Deck

# Textual reads these once, at import. 30 frames a second keep a key below 50 ms; live views batch to 4 Hz anyway.
FRAMES_PER_SECOND = "30"


def open_app(
    workspace: Workspace,
    recipe: Path | None = None,
    *,
    mouse: bool = True,
) -> int:
    """Run the app until it is left; its exit code.

    Raises UsageError where there is no terminal, RecipeError for a recipe that was named and cannot be used.
    """
    _need_terminal()
    prepare_environment()
    from tui.deck import open_deck

    return _run(open_deck(workspace, recipe), mouse=mouse)


def open_demo(workspace: Workspace, *, mouse: bool = True) -> int:
    """Open the app on the demo: on its newest run that is at work or done, else on one that is started now.

    When the run is done, the chat with base and tuned side by side follows.
    """
    _need_terminal()
    prepare_environment()
    from core.demo.paths import RECIPE
    from core.recipe import read_recipe
    from core.runs.find import find_runs
    from tui.deck import Deck
    from tui.messages import FollowRun, StartRun

    recipe = read_recipe(RECIPE)
    usable = [
        state
        for state in find_runs(workspace)
        if state.state in ("starting", "running", "done") and _is_of(state.folder, recipe)
    ]
    # Saving writes a copy into the workspace, never into the package.
    deck = Deck(workspace, recipe, workspace.root / "demo-recipe.toml")
    found = FollowRun(usable[0].folder, then_chat=True) if usable else None
    return _run(deck, mouse=mouse, start="train", message=found or StartRun(recipe, then_chat=True))


def _is_of(run: Path, recipe: Recipe) -> bool:
    """Whether the run in this folder was started from just this recipe."""
    from core.recipe import RecipeError, read_recipe

    try:
        return read_recipe(run / "recipe.toml") == recipe
    except RecipeError:
        return False


def _need_terminal() -> None:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "the app needs a terminal", fix="without one use the commands; tunedeck --help lists them"
        )


def _run(deck: Deck, *, mouse: bool, start: str = "", message: Message | None = None) -> int:
    from tui.app import DeckApp

    app = DeckApp(deck, start=start, message=message)
    app.run(mouse=mouse)
    return app.return_code or 0


def prepare_environment() -> None:
    """Settings of Textual that a person has not chosen, and one that would end it at the start."""
    os.environ.setdefault("TEXTUAL_FPS", FRAMES_PER_SECOND)
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
    if os.environ.get("TEXTUAL_COLOR_SYSTEM", "auto").lower() in ("", "none"):
        os.environ["TEXTUAL_COLOR_SYSTEM"] = "auto"
