"""Going on with a run that has ended before its time."""

from __future__ import annotations

from core.errors import UsageError
from core.runs.checkpoints import newest
from core.runs.folder import Run
from core.runs.launch import launch
from core.runs.state import read_state


def resume(run: Run) -> int:
    """Start the trainer of an ended run again; the step it goes on from, 0 if there is no checkpoint.

    Raises UsageError for a run that still lives or is done.
    """
    require_resumable(run)
    checkpoint = newest(run)
    launch(run, resume=True)
    return checkpoint.step if checkpoint else 0


def require_resumable(run: Run) -> None:
    """Raise UsageError for a run that still lives or is done."""
    state = read_state(run.folder)
    if not state.ended:
        raise UsageError(f"run {run.id} is {state.state}", fix=f"tunedeck watch {run.id} follows it")
    if state.state == "done":
        raise UsageError(
            f"run {run.id} is done", fix="to train on, start a new run with more epochs: tunedeck train"
        )
