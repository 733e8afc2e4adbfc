"""Which models there are to talk with, read from disk. Called in a thread: the screen does not wait for disks."""

from __future__ import annotations

from core.chat.subject import Subject, of_run, subject
from core.recipe import Recipe
from core.runs.find import find_runs
from core.runs.folder import Run
from core.runs.state import RunState
from core.workspace import Workspace
from tui.widgets.numbers import count


def runs_with_a_result(workspace: Workspace) -> list[RunState]:
    """The runs that have something to talk with, newest first."""
    return [state for state in find_runs(workspace) if state.state == "done" or state.checkpoint_step]


def first_choice(workspace: Workspace, recipe: Recipe) -> Subject:
    """The newest run that has a result, else the recipe's model. Raises TunedeckError."""
    runs = runs_with_a_result(workspace)
    if runs:
        return of_run(Run(runs[0].folder), workspace)
    return subject(recipe.model.source, workspace)


def newer(chosen: Subject, workspace: Workspace) -> Subject | None:
    """What the subject's run has saved since; None if nothing. Raises TunedeckError."""
    if chosen.run is None:
        return None
    found = of_run(Run(chosen.run), workspace)
    same = (found.adapter or found.model_folder) == (chosen.adapter or chosen.model_folder)
    return None if same else found


def about(run: RunState) -> str:
    """A run in a few words."""
    parts = [run.state.replace("_", " ")]
    if run.step:
        parts.append(f"step {count(run.step)}")
    if run.loss is not None:
        parts.append(f"loss {run.loss:.3f}")
    parts += [part for part in (run.model, run.method) if part]
    return " · ".join(parts)
