"""A run folder, written whole before anything is started: recipe, identity, where model and data are."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core import __version__
from core.errors import TunedeckError
from core.models.sources import ModelFiles
from core.recipe import Recipe, recipe_text
from core.runs.folder import Run
from core.runs.identity import git_state, this_process, versions
from core.workspace import Workspace, write_atomically, write_json_atomically


@dataclass(frozen=True, slots=True)
class RunData:
    """The prepared data of a run: saved `datasets` folders with `input_ids`, `labels` and `row`."""

    folder: Path
    eval_folder: Path | None
    rows: int
    examples: int
    tokens: int
    trained_tokens: int
    longest: int
    digest: str


def write_run(
    run: Run,
    workspace: Workspace,
    recipe: Recipe,
    model: ModelFiles,
    data: RunData,
    planned_peak_bytes: int | None,
) -> None:
    """Write `recipe.toml` and `run.json`. Raises TunedeckError if the folder cannot be written to."""
    identity: dict[str, Any] = {
        "id": run.id,
        "tunedeck": __version__,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "created_seconds": round(time.time(), 3),
        "workspace": str(workspace.root),
        "git": git_state(workspace.root),
        "versions": versions(),
        "seed": recipe.training.seed,
        # Until the trainer lives, the run is as alive as the program that starts it.
        "process": this_process().to_json(),
        "recipe": {
            "model": recipe.model.source,
            "method": recipe.tuner.method,
            "data": recipe.data.source,
        },
        "model": {
            "source": model.source,
            "kind": model.kind,
            "folder": str(model.folder.resolve()),
            "revision": model.revision,
        },
        "data": {
            "folder": _from(run, data.folder),
            "eval_folder": _from(run, data.eval_folder) if data.eval_folder else None,
            "rows": data.rows,
            "examples": data.examples,
            "tokens": data.tokens,
            "trained_tokens": data.trained_tokens,
            "longest": data.longest,
            "digest": data.digest,
        },
        "planned_peak_bytes": planned_peak_bytes,
    }
    try:
        write_json_atomically(run.identity, identity)
        write_atomically(run.recipe, recipe_text(recipe))
    except OSError as error:
        raise TunedeckError(
            f"the run folder cannot be written to: {error.strerror}",
            where=str(run.folder),
            fix="free space or permissions there",
        ) from None


def _from(run: Run, path: Path) -> str:
    """A path as the run remembers it: relative inside the run, so that the folder may move; else absolute."""
    path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links out of the run
    return str(path.relative_to(run.folder)) if path.is_relative_to(run.folder) else str(path)
