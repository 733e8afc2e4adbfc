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

# Textual reads these once, at import. 30 frames a second keep a key below 50 ms; live views batch to 4 Hz anyway.
FRAMES_PER_SECOND = "30"


def open_app(
    workspace: Workspace,
    recipe: Path | None = None,
    *,
    mouse: bool = True,
    start: str = "",
    message: Message | None = None,
) -> int:
    """Run the app until it is left; its exit code. `start` names a panel, `message` is handed to it.

    Raises UsageError where there is no terminal, RecipeError for a recipe that was named and cannot be used.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "the app needs a terminal", fix="without one use the commands; tunedeck --help lists them"
        )
    prepare_environment()
    from tui.app import DeckApp
    from tui.deck import open_deck

    app = DeckApp(open_deck(workspace, recipe), start=start, message=message)
    app.run(mouse=mouse)
    return app.return_code or 0


def prepare_environment() -> None:
    """Settings of Textual that a person has not chosen, and one that would end it at the start."""
    os.environ.setdefault("TEXTUAL_FPS", FRAMES_PER_SECOND)
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none")
    os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
    if os.environ.get("TEXTUAL_COLOR_SYSTEM", "auto").lower() in ("", "none"):
        os.environ["TEXTUAL_COLOR_SYSTEM"] = "auto"
