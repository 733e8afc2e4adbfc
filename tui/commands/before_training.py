"""The checklist before a run, as lines; what blocks ends the command, what warns is asked about once."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tui.commands.options import say

if TYPE_CHECKING:
    from core.recipe import Recipe
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
    """Print the checklist. Raises TunedeckError if something blocks, or warns and nobody agrees."""
    from core.errors import EXIT_FAILED, TunedeckError
    from core.runs.preflight import Check, preflight

    def line(check: object) -> None:
        if isinstance(check, Check):
            fix = f"; {check.fix}" if check.fix and check.state != "ok" else ""
            say(f"{MARKS[check.state]}  {check.check}: {check.evidence}{fix}")

    listed = preflight(workspace, recipe, rows, line)
    if listed.blocking:
        first = listed.blocking[0]
        raise TunedeckError(
            f"not started: {first.check}: {first.evidence}", fix=first.fix, exit_code=listed.exit_code
        )
    if listed.warnings and not yes:
        if not sys.stdin.isatty():
            raise TunedeckError(
                f"not started: {len(listed.warnings)} warnings above, and nobody to ask",
                fix="--yes starts in spite of warnings",
                exit_code=EXIT_FAILED,
            )
        if not typer.confirm("start in spite of the warnings?", err=True):
            raise typer.Exit(EXIT_FAILED)
