"""A run is a folder. Its layout, its name, and how it is found again by what a person types."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import TunedeckError, UsageError
from core.recipe import Recipe, read_recipe
from core.runs.events import newest_of_each_kind
from core.workspace import Workspace

LAST = "last"
PREPARED = "prepared"  # the status of a run whose launch files were written, until one of them starts it
_NEWEST_BYTES = 32 * 1024


@dataclass(frozen=True, slots=True)
class Run:
    """One run, named by its folder. All paths below exist only once something was written there."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def identity(self) -> Path:
        """`run.json`: which process, where, with which versions, model and data."""
        return self.folder / "run.json"

    @property
    def recipe(self) -> Path:
        return self.folder / "recipe.toml"

    @property
    def data(self) -> Path:
        """The prepared data: `train/`, `eval/` and `report.json`."""
        return self.folder / "data"

    @property
    def events(self) -> Path:
        return self.folder / "events.jsonl"

    @property
    def control(self) -> Path:
        return self.folder / "control.json"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @property
    def heartbeat(self) -> Path:
        """Touched by the trainer every few seconds; its age tells another machine that the run lives."""
        return self.folder / "heartbeat"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def adapter(self) -> Path:
        """Where an adapter method leaves its result."""
        return self.folder / "adapter"

    @property
    def model(self) -> Path:
        """Where a method that trains the weights themselves leaves its result."""
        return self.folder / "model"

    @property
    def summary(self) -> Path:
        return self.folder / "summary.json"

    @property
    def plan(self) -> Path:
        return self.folder / "plan.json"

    @property
    def accelerate(self) -> Path:
        """What `accelerate launch` was told, for a run on several devices."""
        return self.folder / "accelerate.json"

    @property
    def notes(self) -> Path:
        """`notes.json`: a person's note and tags; nothing else writes it."""
        return self.folder / "notes.json"

    def read_recipe(self) -> Recipe:
        return read_recipe(self.recipe)

    def read_json(self, path: Path) -> dict[str, Any]:
        """A JSON object of this run; empty if the file is missing or not (yet) readable."""
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}


def new_run(workspace: Workspace, name: str = "") -> Run:
    """Make an empty run folder. Its id is date, time and a short name, so that ids sort by age.

    Two programs that start a run in the same second get different folders: the second one counts up.
    Raises TunedeckError if the folder cannot be made.
    """
    stem = time.strftime("%Y%m%d-%H%M%S") + (f"-{short_name(name)}" if short_name(name) else "")
    try:
        workspace.runs.mkdir(parents=True, exist_ok=True)
        for number in range(1, 1000):
            folder = workspace.runs / (stem if number == 1 else f"{stem}-{number}")
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return Run(folder)
    except OSError as error:
        raise TunedeckError(
            f"a run folder cannot be made: {error.strerror}",
            where=str(workspace.runs),
            fix="free space or permissions there, or name another folder with --workspace",
        ) from None
    raise TunedeckError("a thousand runs were started in one second", where=str(workspace.runs))


def open_run(workspace: Workspace, named: str) -> Run:
    """The run a person means: its folder, its id, the beginning or end of its id, or "last".

    "last" is the newest that was started. Raises UsageError if there is none or more than one.
    """
    if not named.strip():
        raise UsageError("name a run", fix="tunedeck runs lists them")
    as_path = Path(named).expanduser()
    if is_run_folder(as_path):
        return Run(as_path.resolve())
    runs = run_folders(workspace)
    if named == LAST and runs:
        return _newest_started(runs)
    return Run(folder_named(runs, named, where=workspace.runs))


def _newest_started(runs: list[Path]) -> Run:
    for folder in reversed(runs):
        if not is_only_prepared(folder):
            return Run(folder)
    raise UsageError(
        "no run was started yet",
        fix=f"{runs[-1].name} is prepared: start it with the files in its folder launch",
    )


def is_only_prepared(folder: Path) -> bool:
    """Whether launch files were written for this run and none of them has started it."""
    status = [event for event in newest_of_each_kind(folder, _NEWEST_BYTES) if event["kind"] == "status"]
    return bool(status) and status[-1]["state"] == PREPARED


def folder_named(folders: list[Path], named: str, *, where: Path) -> Path:
    """The folder with that name, or the only one whose name begins or ends so; `where` they lie.

    Raises UsageError if there is none or more than one.
    """
    exact = [folder for folder in folders if folder.name == named]
    near = exact or [
        folder for folder in folders if folder.name.startswith(named) or folder.name.endswith(named)
    ]
    if len(near) == 1:
        return near[0]
    if near:
        raise UsageError(
            f"{named} fits {len(near)} runs: {', '.join(folder.name for folder in near[:5])}",
            fix="write more of the id",
        )
    known = ", ".join(folder.name for folder in folders[-3:]) or "none yet"
    raise UsageError(f"no run {named}", where=str(where), fix=f"the newest are: {known}")


def run_folders(workspace: Workspace) -> list[Path]:
    """Every run folder of a workspace, oldest first. The trash and other hidden folders are left out."""
    try:
        folders = [entry for entry in workspace.runs.iterdir() if not entry.name.startswith(".")]
    except OSError:
        return []
    return sorted(folder for folder in folders if is_run_folder(folder))


def is_run_folder(folder: Path) -> bool:
    return (folder / "recipe.toml").is_file() and (
        (folder / "run.json").is_file() or (folder / "events.jsonl").is_file()
    )


def short_name(name: str) -> str:
    """A name made fit for a folder: lower case, digits and dashes, at most 40 characters."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")
