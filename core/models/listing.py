"""The models on this machine as one list: demo, folders, finished runs, and the Hugging Face cache."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from core.models.complete import missing_from
from core.models.weight_files import read_weights
from core.workspace import EMBEDDED_MODEL, Workspace

EntrySource = Literal["demo", "folder", "run", "cache", "hub"]
LocalSort = Literal["found", "name", "size", "used", "parameters"]
LOCAL_SORTS: tuple[LocalSort, ...] = ("found", "name", "size", "used", "parameters")
_LOOK_DEEP = 3  # levels of folders below the workspace that may hold a model


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One line of the list. Unknown numbers are 0, unknown texts empty."""

    id: str  # what a recipe's model.source takes
    source: EntrySource
    family: str = ""
    bytes: int = 0  # on this disk; for the Hub, of the download
    revision: str = ""
    references: tuple[str, ...] = ()  # branches and tags that point at the revision
    last_used: float = 0.0  # seconds since the epoch
    folder: str = ""
    missing: str = ""  # what an unfinished one lacks; empty for a whole model
    parameters: int = 0  # here as the headers of the weight files count them
    downloads: int = 0
    likes: int = 0
    updated: float = 0.0
    licence: str = ""
    gated: str = ""

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "references": list(self.references)}


def local_models(workspace: Workspace, folders: tuple[Path, ...] = ()) -> list[ModelEntry]:
    """Every model at hand: the demo first, then folders and runs, then the cache by last use."""
    found = [_entry("demo", "demo", EMBEDDED_MODEL)]
    for root in (workspace.root, workspace.runs, *folders):
        found += _below(root, workspace)
    return [*_without_twins(found), *sorted(cached_models(), key=lambda one: (-one.last_used, one.id))]


def cached_models() -> list[ModelEntry]:
    """Every model revision in the Hugging Face cache, unfinished ones with what they lack."""
    from huggingface_hub import constants, scan_cache_dir

    if not Path(constants.HF_HUB_CACHE).is_dir():
        return []
    found = []
    for repository in scan_cache_dir(constants.HF_HUB_CACHE).repos:
        if repository.repo_type != "model":
            continue
        for revision in repository.revisions:
            folder = revision.snapshot_path
            found.append(
                ModelEntry(
                    id=repository.repo_id,
                    source="cache",
                    family=_family(folder),
                    bytes=revision.size_on_disk,
                    revision=revision.commit_hash,
                    references=tuple(sorted(revision.refs)),
                    last_used=repository.last_accessed,
                    folder=str(folder),
                    missing=missing_from(folder),
                    parameters=read_weights(folder).parameters,
                )
            )
    return found


def search_entries(entries: list[ModelEntry], query: str) -> list[ModelEntry]:
    """Entries whose id or family holds every word of the query."""
    words = query.lower().split()
    return [one for one in entries if all(word in f"{one.id} {one.family}".lower() for word in words)]


def sort_entries(entries: list[ModelEntry], by: LocalSort) -> list[ModelEntry]:
    """By name from a to z; by size, parameters or last use the most first, unknown ones last.

    "found" is the order of `local_models`. Equal ones stand by name.
    """
    if by == "found":
        return list(entries)
    by_name = sorted(entries, key=lambda one: (one.id.lower(), one.id, one.revision))
    if by == "name":
        return by_name
    figure = {"size": "bytes", "used": "last_used", "parameters": "parameters"}[by]
    return sorted(by_name, key=lambda one: -getattr(one, figure))


def _below(root: Path, workspace: Workspace) -> list[ModelEntry]:
    """Model folders under a folder, itself included; hidden folders and checkpoints are passed over."""
    found: list[ModelEntry] = []
    level = [root]
    for _ in range(_LOOK_DEEP + 1):
        deeper: list[Path] = []
        for folder in level:
            if _family(folder):
                inside = workspace.runs in folder.parents
                found.append(_entry(_name(folder, workspace), "run" if inside else "folder", folder))
            else:
                deeper += _folders_in(folder)
        level = deeper
    return found


def _folders_in(folder: Path) -> list[Path]:
    try:
        inside = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []
    return [path for path in inside if not _is_passed_over(path.name)]


def _is_passed_over(name: str) -> bool:
    """Hidden folders, a run's own folders, and repositories of a cache that lies in the workspace."""
    return name.startswith((".", "models--", "datasets--")) or name in ("checkpoints", "data")


def _entry(identity: str, source: EntrySource, folder: Path) -> ModelEntry:
    files = [path for path in folder.iterdir() if path.is_file()]
    return ModelEntry(
        id=identity,
        source=source,
        family=_family(folder),
        bytes=sum(path.stat().st_size for path in files),
        last_used=max((path.stat().st_atime for path in files), default=0.0),
        folder=str(folder),
        missing=missing_from(folder),
        parameters=read_weights(folder).parameters,
    )


def _name(folder: Path, workspace: Workspace) -> str:
    if folder != workspace.root and folder.is_relative_to(workspace.root):
        return str(folder.relative_to(workspace.root))
    return str(folder)


def _family(folder: Path) -> str:
    """The model_type of a folder's config; empty if it is not a model folder."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return str(config.get("model_type") or "") if isinstance(config, dict) else ""
    except (OSError, ValueError):
        return ""


def _without_twins(entries: list[ModelEntry]) -> list[ModelEntry]:
    seen: dict[str, ModelEntry] = {}
    for one in entries:
        seen.setdefault(str(Path(one.folder).resolve()), one)
    return list(seen.values())
