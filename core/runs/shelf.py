"""A person's own side of runs: note and tags, and putting a run away."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from core.errors import TunedeckError, UsageError
from core.runs.folder import Run, folder_named, is_run_folder
from core.runs.state import read_state
from core.workspace import Workspace, write_json_atomically


def annotate(run: Run, *, note: str | None = None, tags: Iterable[str] | None = None) -> None:
    """Set the note, the tags, or both; None leaves what is there. Raises TunedeckError if it cannot be written."""
    kept = run.read_json(run.notes)
    if note is not None:
        kept["note"] = note
    if tags is not None:
        kept["tags"] = sorted({tag.strip() for tag in tags if tag.strip()})
    try:
        write_json_atomically(run.notes, kept)
    except OSError as error:
        raise TunedeckError(f"the note cannot be written: {error.strerror}", where=str(run.notes)) from None


def put_away(workspace: Workspace, run: Run) -> Path:
    """Move an ended run into the trash of its workspace; where it is now.

    Raises UsageError for a run that still lives.
    """
    state = read_state(run.folder)
    if not state.ended:
        raise UsageError(f"run {run.id} is {state.state}", fix=f"stop it first: tunedeck stop {run.id}")
    target = workspace.trash / run.id
    if target.exists():
        target = workspace.trash / f"{run.id}-{int(time.time())}"
    try:
        workspace.trash.mkdir(parents=True, exist_ok=True)
        run.folder.rename(target)
    except OSError as error:
        raise TunedeckError(f"the run cannot be moved: {error.strerror}", where=str(run.folder)) from None
    return target


def bring_back(workspace: Workspace, name: str) -> Run:
    """Take a run out of the trash again: named by its id, or the start or end of it. Raises UsageError if it is not there."""
    if not name.strip():
        raise UsageError("name a run", fix="tunedeck runs --trash lists them")
    removed = sorted(folder for folder in workspace.trash.glob("*") if is_run_folder(folder))
    source = folder_named(removed, name, where=workspace.trash)
    target = workspace.runs / source.name
    if target.exists():
        raise UsageError(f"there is a run {source.name} already", where=str(target))
    source.rename(target)
    return Run(target)


def empty_trash(workspace: Workspace) -> int:
    """Delete what was put away, for good; how many runs that were."""
    runs = [folder for folder in workspace.trash.glob("*") if is_run_folder(folder)]
    for folder in runs:
        shutil.rmtree(folder)
    return len(runs)
