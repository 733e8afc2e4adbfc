"""The plan of a recipe as it stands in a workspace: model found, prepared rows looked up, devices read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.lookup import cached_report
from core.errors import TunedeckError
from core.memory.calibration import calibrated
from core.memory.devices import read_devices, room_for
from core.memory.plan import Plan, plan
from core.memory.setting import Lengths
from core.memory.verdict import Room
from core.models.architecture import Architecture
from core.models.architecture_of import read_model
from core.models.sources import locate
from core.recipe import Recipe
from core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Priced:
    """A plan with what it was made from, so that a changed recipe can be priced again without reading."""

    recipe: Recipe
    architecture: Architecture
    lengths: Lengths | None
    plan: Plan


def price(recipe: Recipe, workspace: Workspace, room: Room | None = None) -> Priced:
    """Plan `recipe` on `room`, else on the devices of this machine. Works from a bare config.json.

    Raises TunedeckError for a model that is not here or a recipe that has no number.
    """
    files = locate(recipe.model.source, recipe.model.revision, workspace)
    architecture = read_model(files.folder)
    lengths = None if files.kind == "config" else prepared_lengths(recipe, files.folder, workspace)
    where = room or calibrated(room_for(recipe, read_devices(processes=False)))
    return Priced(recipe, architecture, lengths, plan(recipe, architecture, lengths, room=where))


def prepared_lengths(recipe: Recipe, model_folder: Path, workspace: Workspace) -> Lengths | None:
    """Lengths of the rows as they were last prepared; None if they were not, or cannot be read."""
    try:
        report = cached_report(recipe, model_folder, workspace=workspace.root)
        return lengths_of(json.loads(report.read_text(encoding="utf-8"))) if report else None
    except (TunedeckError, OSError, ValueError, KeyError):
        return None


def lengths_of(report: dict[str, Any]) -> Lengths:
    """Lengths from a preparation's report."""
    examples, tokens = int(report["examples"]), int(report["tokens"])
    return Lengths(
        rows=examples,
        longest=int(report["longest"]),
        mean=tokens / max(examples, 1),
        trained_share=int(report["trained_tokens"]) / max(tokens, 1),
    )
