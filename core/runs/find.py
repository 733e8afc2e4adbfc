"""All runs of a workspace, in milliseconds, from their folders alone."""

from __future__ import annotations

from core.runs.folder import is_run_folder, run_folders
from core.runs.state import RunState, read_state
from core.workspace import Workspace


def find_runs(workspace: Workspace) -> list[RunState]:
    """Every run of the workspace as it stands now, newest first."""
    return [read_state(folder) for folder in reversed(run_folders(workspace))]


def find_removed(workspace: Workspace) -> list[RunState]:
    """The runs in the trash, newest first."""
    folders = sorted(folder for folder in workspace.trash.glob("*") if is_run_folder(folder))
    return [read_state(folder) for folder in reversed(folders)]


def living_runs(workspace: Workspace) -> list[RunState]:
    """The runs that have not ended, newest first."""
    return [state for state in find_runs(workspace) if not state.ended]
