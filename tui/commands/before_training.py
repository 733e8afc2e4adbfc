"""The checklist before a run, as lines; what blocks ends the command, what warns is asked about once."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tui.commands.check import Narrator
from tui.commands.options import say

if TYPE_CHECKING:
    from core.recipe import Recipe
    from core.runs.folder import Run
    from core.runs.preflight import Preflight
    from core.workspace import Workspace

MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL", "skip": "skip"}


@contextlib.contextmanager
def rows_beside(workspace: Workspace) -> Iterator[Path]:
    """A folder for the prepared rows on the disk of the runs, gone when the run has taken them over."""
    from core.errors import TunedeckError

    try:
        workspace.runs.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=".preflight-", dir=workspace.runs)
    except OSError as error:
        raise TunedeckError(
            f"nothing can be written there: {error.strerror}",
            where=str(workspace.runs),
            fix="free space or permissions, or name another folder with --workspace",
        ) from None
    with folder as name:
        yield Path(name) / "data"


def look_before(workspace: Workspace, recipe: Recipe, rows: Path, *, yes: bool) -> None:
    """Print the checklist of a recipe. Raises TunedeckError if something blocks, or warns and nobody agrees."""
    from core.runs.preflight import preflight

    _decide(preflight(workspace, recipe, rows, _Lines()), yes=yes)


def look_again(workspace: Workspace, run: Run, *, yes: bool) -> None:
    """As `look_before`, for a run that goes on: what may have changed since it was started."""
    from core.runs.preflight import preflight_resume

    _decide(preflight_resume(workspace, run, _Lines()), yes=yes)


class _Lines:
    """Each check as a line; now and then, while the rows are worked on, how far that is."""

    def __init__(self) -> None:
        self._tell = Narrator()

    def __call__(self, found: Any) -> None:
        from core.runs.surroundings import Check

        if not isinstance(found, Check):
            self._tell(found)
            return
        fix = f"; {found.fix}" if found.fix and found.state != "ok" else ""
        say(f"{MARKS[found.state]}  {found.check}: {found.evidence}{fix}")


def _decide(listed: Preflight, *, yes: bool) -> None:
    from core.errors import EXIT_FAILED, TunedeckError

    if listed.blocking:
        first = listed.blocking[0]
        raise TunedeckError(
            f"not started: {first.check}: {first.evidence}", fix=first.fix, exit_code=listed.exit_code
        )
    warnings = listed.warnings
    if not warnings or yes:
        return
    if not sys.stdin.isatty():
        raise TunedeckError(
            f"not started: {len(warnings)} {'warning' if len(warnings) == 1 else 'warnings'} above, and nobody to ask",
            fix="--yes starts in spite of warnings",
            exit_code=EXIT_FAILED,
        )
    if any(check.check == "chat" for check in warnings) and _closed_chats():
        warnings = tuple(check for check in warnings if check.check != "chat")
    if warnings and not typer.confirm("start in spite of the warnings?", err=True):
        raise typer.Exit(EXIT_FAILED)


def _closed_chats() -> bool:
    """Offer to close the chats that hold a model. Whether all of them are gone."""
    from core.runs.chat_workers import chat_workers, close

    chats = chat_workers(on_gpu=True)
    if not typer.confirm(
        f"close {'the chat' if len(chats) == 1 else f'{len(chats)} chats'} first?", err=True
    ):
        return False
    return all(close(chat) for chat in chats)
