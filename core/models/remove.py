"""Take a model out of the Hugging Face cache, and say beforehand how much that frees."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import MissingError
from core.models.download import PART


@dataclass(frozen=True, slots=True)
class Removal:
    """What a removal would take away. `freed_bytes` leaves out blobs that other revisions use."""

    id: str
    revisions: tuple[str, ...]
    freed_bytes: int


def plan_removal(model: str, revision: str = "") -> Removal:
    """The revisions that would go: one, or all of the model. Raises MissingError if it is not in the cache."""
    cache = _scan()
    found = [
        one.commit_hash
        for repository in (cache.repos if cache else ())
        if repository.repo_type == "model" and repository.repo_id == model
        for one in repository.revisions
    ]
    chosen = sorted(one for one in found if not revision or one == revision)
    if cache is None or not chosen:
        raise MissingError("this model is not in the cache", where=model)
    freed = cache.delete_revisions(*chosen).expected_freed_size
    return Removal(model, tuple(chosen), freed + sum(part.stat().st_size for part in _parts(model)))


def remove(removal: Removal) -> None:
    """Do it. Parts of unfinished downloads of the model go too."""
    cache = _scan()
    if cache is not None:
        cache.delete_revisions(*removal.revisions).execute()
    for part in _parts(removal.id):
        part.unlink(missing_ok=True)


def _scan() -> Any:
    from huggingface_hub import constants, scan_cache_dir

    folder = Path(constants.HF_HUB_CACHE)
    return scan_cache_dir(folder) if folder.is_dir() else None


def _parts(model: str) -> list[Path]:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    blobs = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=model, repo_type="model") / "blobs"
    return sorted(blobs.glob(f"*{PART}"))
