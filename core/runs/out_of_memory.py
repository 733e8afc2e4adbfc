"""After an out-of-memory end: what would have made this very run fit, and starting it again with that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.errors import TunedeckError, UsageError
from core.memory.devices import read_devices, room_for
from core.memory.fit import Lever, case, levers
from core.models.architecture_of import read_model
from core.recipe import Recipe, differences, with_changes
from core.runs.folder import Run
from core.runs.start import Progress, start
from core.runs.surroundings import stored_lengths
from core.workspace import Workspace

# A change of these keeps the prepared rows as they are.
DATA_SECTIONS = (
    "data.",
    "model.source",
    "model.revision",
    "training.seed",
)  # the seed draws the held-out rows


def levers_of(run: Run) -> tuple[Lever, ...]:
    """The plan's levers priced for a run's recipe and rows, cheapest first; empty where no plan can be made."""
    lengths = stored_lengths(run)
    if lengths is None:
        return ()
    try:
        recipe = run.read_recipe()
        model = read_model(Path(run.read_json(run.identity)["model"]["folder"]))
        return levers(recipe, case(model, lengths, room_for(recipe, read_devices())))
    except (TunedeckError, KeyError, TypeError):
        return ()


def again_with(
    workspace: Workspace, run: Run, changes: dict[str, Any], progress: Progress | None = None
) -> Run:
    """Start a new run with a changed recipe, for example a lever's. Raises RecipeError or what `start` raises.

    The prepared rows are used again where the change does not touch them.
    """
    recipe = with_changes(run.read_recipe(), changes)
    return start(workspace, recipe, name=name_of(run), prepared=rows_for(run, recipe), progress=progress)


def relaunch(workspace: Workspace, run: Run, lever: dict[str, Any]) -> Run:
    """Start a run that lacked memory again, with the changes of one of its levers.

    Raises UsageError for changes that would make another effective batch: that is never done silently.
    """
    before = run.read_recipe()
    after = with_changes(before, lever)
    if after.effective_batch != before.effective_batch:
        raise UsageError(
            f"the effective batch would be {after.effective_batch}, not {before.effective_batch}",
            fix="change training.accumulation with training.micro_batch",
        )
    return again_with(workspace, run, lever)


def rows_for(run: Run, recipe: Recipe) -> Path | None:
    """The run's prepared rows, if they are those of this recipe too; None if it has others, or none."""
    touched = any(key.startswith(DATA_SECTIONS) for key in differences(run.read_recipe(), recipe))
    return None if touched or not (run.data / "report.json").exists() else run.data


def name_of(run: Run) -> str:
    """The run's own short name: its id without date and time."""
    return run.id.split("-", 2)[2] if run.id.count("-") >= 2 else run.id
