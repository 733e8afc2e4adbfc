"""The plan of a recipe as it stands in a workspace: model found, prepared rows looked up, devices read."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.lookup import cached_report
from core.data.rows import read_rows
from core.errors import TunedeckError
from core.memory.calibration import calibrated
from core.memory.devices import Device, read_devices, rooms_for
from core.memory.plan import Placed, Plan, on_each, plan
from core.memory.setting import Lengths
from core.memory.verdict import Room
from core.models.architecture import Architecture
from core.models.architecture_of import read_architecture, read_config, read_model, with_vocabulary
from core.models.listing import local_models
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
    rooms: tuple[Room, ...]  # of every device the run would be on; the plan stands on the fullest
    data_problem: str = ""  # why the data could not be looked at, and so is not in the plan

    @property
    def placed(self) -> tuple[Placed, ...]:
        return on_each(self.plan, self.rooms)


def price(
    recipe: Recipe, workspace: Workspace, room: Room | None = None, *, vocabulary: int | None = None
) -> Priced:
    """Plan `recipe` on `room`, else on the devices of this machine. Works from a bare config.json.

    `vocabulary` is the number of rows that the embedding would be resized to; None leaves it as it is.

    Raises TunedeckError for a model that is not here or a recipe that has no number.
    """
    files = locate(recipe.model.source, recipe.model.revision, workspace)
    config = read_config(files.folder)
    architecture = read_architecture(config if vocabulary is None else with_vocabulary(config, vocabulary))
    lengths, problem = (
        (None, "") if files.kind == "config" else lengths_or_why_not(recipe, files.folder, workspace)
    )
    rooms = (room,) if room else rooms_here(recipe, read_devices(processes=False))
    planned = plan(recipe, architecture, lengths, room=fullest(rooms))
    return Priced(recipe, architecture, lengths, planned, rooms, problem)


def rooms_here(recipe: Recipe, devices: tuple[Device, ...]) -> tuple[Room, ...]:
    """The rooms that a run would have, with what was learnt of their devices."""
    return tuple(calibrated(room) for room in rooms_for(recipe, devices))


def fullest(rooms: tuple[Room, ...]) -> Room:
    """The room with the least left: it decides for all processes."""
    return min(rooms, key=lambda room: room.available or 0, default=Room())


def models_at_hand(recipe: Recipe, workspace: Workspace) -> tuple[tuple[str, Architecture], ...]:
    """The recipe's model, then every other model of this machine whose config can be read."""
    found: dict[str, Architecture] = {}
    own = Path()
    with contextlib.suppress(TunedeckError):
        own = locate(recipe.model.source, recipe.model.revision, workspace).folder
        found[recipe.model.source] = read_model(own)
    for entry in local_models(workspace):
        if entry.source != "run" and entry.id not in found and not _same(own, Path(entry.folder)):
            with contextlib.suppress(TunedeckError, OSError):
                found[entry.id] = read_model(Path(entry.folder))
    return tuple(found.items())


def _same(own: Path, folder: Path) -> bool:
    """Whether a folder is that of the recipe's model, which may be named by its config.json alone."""
    return folder.resolve() in (own.resolve(), own.resolve().parent)


def prepared_lengths(recipe: Recipe, model_folder: Path, workspace: Workspace) -> Lengths | None:
    """Lengths of the rows as they were last prepared; None if they were not, or cannot be read."""
    return lengths_or_why_not(recipe, model_folder, workspace)[0]


def lengths_or_why_not(
    recipe: Recipe, model_folder: Path, workspace: Workspace
) -> tuple[Lengths | None, str]:
    """As `prepared_lengths`, with why the data cannot be read; "" where it can, or was not prepared yet."""
    try:
        report = cached_report(recipe, model_folder, workspace=workspace.root)
    except TunedeckError as error:
        return None, f"{error.where}: {error.what}" if error.where else error.what
    except OSError as error:
        return None, f"{error.filename}: {error.strerror}"
    try:
        if report:
            return lengths_of(json.loads(report.read_text(encoding="utf-8"))), ""
        return checked_lengths(recipe, model_folder, workspace), ""
    except (OSError, ValueError, KeyError, TunedeckError):
        return None, ""


def checked_lengths(recipe: Recipe, model_folder: Path, workspace: Workspace) -> Lengths | None:
    """Lengths of the rows as an earlier check of these very rows found them; None if there was none.

    The longest may be a row that is held out: never less than what training meets.
    """
    from core.data.kept_checks import kept_fields, report_place

    data, root = recipe.data, workspace.root
    rows = read_rows(data.source, root, data, reach="here")
    eval_rows = read_rows(data.eval_source, root, data, reach="here") if data.eval_source else None
    place = report_place(recipe, model_folder, rows, eval_rows, root)
    found = kept_fields(place) if place is not None else None
    if not found or not found["examples"]:
        return None
    longest = min(int(found["lengths"].tokens.max()), data.max_length)
    return lengths_of({**found, "longest": longest})


def lengths_of(report: dict[str, Any]) -> Lengths:
    """Lengths from a preparation's report."""
    examples, tokens = int(report["examples"]), int(report["tokens"])
    return Lengths(
        rows=examples,
        longest=int(report["longest"]),
        mean=tokens / max(examples, 1),
        trained_share=int(report["trained_tokens"]) / max(tokens, 1),
    )
