"""Starting a run: find the model, prepare the rows, price it, write the folder, launch the trainer."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import TunedeckError, UsageError
from core.memory.calibration import calibrated
from core.memory.devices import read_devices, room_for
from core.memory.plan import plan
from core.models.architecture_of import read_model
from core.models.sources import ModelFiles, locate
from core.recipe import Recipe, require_here
from core.runs.create import RunData, write_run
from core.runs.folder import Run, new_run
from core.runs.launch import launch
from core.runs.preflight import require_known_names
from core.runs.surroundings import lengths_of
from core.workspace import Workspace, write_json_atomically

if TYPE_CHECKING:
    from core.data.prepare import Prepared

Progress = Callable[[Any], None]


def start(
    workspace: Workspace,
    recipe: Recipe,
    *,
    name: str | None = None,
    prepared: Path | None = None,
    progress: Progress | None = None,
) -> Run:
    """Make a run of a recipe and start its trainer, detached. Returns once the trainer lives.

    `prepared` is a folder that `prepare` made of this very recipe; without it the rows are prepared now
    (which the cache makes quick if they were before). Raises TunedeckError; nothing is left behind then.
    """
    require_here(recipe)
    run = create(workspace, recipe, name=name, prepared=prepared, progress=progress)
    launch(run)
    return run


def create(
    workspace: Workspace,
    recipe: Recipe,
    *,
    name: str | None = None,
    prepared: Path | None = None,
    progress: Progress | None = None,
) -> Run:
    """As `start`, without the trainer: a run folder that `launch` can start, here or on another machine."""
    require_known_names(recipe)
    model = locate(recipe.model.source, recipe.model.revision, workspace)
    if model.kind == "config":
        raise UsageError("a bare config has no weights to train", where=recipe.model.source)
    run = new_run(workspace, name if name is not None else default_name(recipe))
    try:
        ready = _data_into(run, recipe, model.folder, prepared, progress, workspace)
        planned = planned_peak_bytes(run, recipe, model, ready)
        write_run(run, workspace, recipe, model, _as_run_data(ready), planned)
    except BaseException:
        shutil.rmtree(run.folder, ignore_errors=True)
        raise
    return run


def default_name(recipe: Recipe) -> str:
    """Model and data in two words: what tells runs apart in a list."""
    model = recipe.model.source.rstrip("/").rpartition("/")[2]
    return f"{model}-{Path(recipe.data.source).stem}"


def planned_peak_bytes(run: Run, recipe: Recipe, model: ModelFiles, ready: Prepared) -> int | None:
    """The plan's peak for these very rows, written to the run as `plan.json`; None where no plan can be made."""
    try:
        room = calibrated(room_for(recipe, read_devices()))
        made = plan(recipe, read_model(model.folder), lengths_of(ready), room=room)
    except TunedeckError:
        return None  # an architecture without a plan trains all the same; the list shows no planned peak
    write_json_atomically(run.plan, made.to_json())
    return made.peak_allocated_bytes


def _data_into(
    run: Run,
    recipe: Recipe,
    model_folder: Path,
    prepared: Path | None,
    progress: Progress | None,
    workspace: Workspace,
) -> Prepared:
    from core.data.prepare import prepare, read_prepared

    if prepared is None:
        return prepare(recipe, model_folder, run.data, progress, workspace=workspace.root)
    shutil.copytree(prepared, run.data, copy_function=_link_or_copy)
    return read_prepared(run.data)


def _link_or_copy(source: str, target: str) -> None:
    """Prepared rows are never changed, so on one file system a second name is as good as a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _as_run_data(ready: Prepared) -> RunData:
    return RunData(
        folder=ready.folder,
        eval_folder=ready.eval_folder,
        rows=ready.rows,
        examples=ready.examples,
        tokens=ready.tokens,
        trained_tokens=ready.trained_tokens,
        longest=ready.longest,
        digest=ready.digest,
    )
