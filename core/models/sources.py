"""Where a model's files are: the demo, a folder, the Hugging Face cache, or a bare config for planning."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import MissingError, UsageError
from core.models.complete import missing_from
from core.workspace import EMBEDDED_MODEL, Workspace

SourceKind = Literal["demo", "folder", "hub", "config"]


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model that is at hand. `folder` holds its small files and its weights."""

    source: str  # as the recipe names it
    kind: SourceKind
    folder: Path
    revision: str  # commit for the Hub, "" otherwise


def locate(source: str, revision: str = "main", workspace: Workspace | None = None) -> ModelFiles:
    """Find a model on this machine. Nothing is downloaded.

    `source` is "demo", a folder (relative ones are looked up in the workspace first), a config.json, or a
    Hub id, which is looked up in the Hugging Face cache. Raises MissingError for a Hub id that is not
    there or not whole, UsageError for a name that cannot be a model.
    """
    if source == "demo":
        return ModelFiles("demo", "demo", EMBEDDED_MODEL, "")
    for path in _places(source, workspace) if source.strip() else []:
        if path.is_file() and path.suffix == ".json":
            return ModelFiles(source, "config", path, "")
        if path.is_dir():
            return ModelFiles(source, "folder", path, "")
    if not is_hub_id(source):
        raise UsageError(
            "no such model folder", where=source, fix="name a folder, a Hub id (owner/name), or demo"
        )
    return _in_cache(source, revision)


def is_hub_id(source: str) -> bool:
    """Whether a text can be a repository name on the Hub."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(source)
    except HFValidationError:
        return False
    return ".." not in source


def cached_folder(source: str, revision: str) -> Path | None:
    """The snapshot folder of a Hub id in the cache, whole or not; None if nothing of it is there."""
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.file_download import repo_folder_name

    for name in ("config.json", "tokenizer_config.json", "README.md"):
        found = try_to_load_from_cache(source, name, revision=revision)
        if isinstance(found, str):
            return Path(found).parent
    repository = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=source, repo_type="model")
    reference = repository / "refs" / revision
    commit = reference.read_text().strip() if reference.is_file() else revision
    folder = repository / "snapshots" / commit
    return folder if folder.is_dir() else None


def _places(source: str, workspace: Workspace | None) -> list[Path]:
    path = Path(os.path.expanduser(source))  # noqa: PTH111 - Path.expanduser raises on an unknown user
    if path.is_absolute():
        return [path]
    return [*([workspace.root / path] if workspace else []), Path.cwd() / path]


def _in_cache(source: str, revision: str) -> ModelFiles:
    folder, fetch = cached_folder(source, revision), f"tunedeck models get {source}"
    if revision != "main":
        fetch += f" --revision {revision}"
    if folder is None:
        raise MissingError("this model is not on this machine", where=source, fix=f"get it with: {fetch}")
    missing = missing_from(folder)
    # Pickled weights are refused where they would be loaded, with the file's name; the card shows them.
    if missing and not (missing == "no weights" and any(folder.glob("*.bin"))):
        raise MissingError(
            f"this model was not downloaded to its end: {missing}", where=source, fix=f"go on with: {fetch}"
        )
    return ModelFiles(source, "hub", folder, folder.name)
