"""Sources a person may mean: the demo's sets and the data files of the workspace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".feather", ".txt")
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".lz4")
_NOT_DATA = ("runs", "node_modules", "__pycache__")
_FOLDERS_LOOKED_INTO = 200
DEMO_SETS = ("demo/yoda.jsonl", "demo/yoda_held_out.jsonl", "demo/troubled.jsonl")


@dataclass(frozen=True, slots=True)
class Nearby:
    """A source by the name that `data.source` takes, and its size on disk."""

    name: str
    bytes: int


def sources_nearby(workspace: Path) -> list[Nearby]:
    """Data files of the workspace and the folders in it (not in `runs/`), by name. Unreadable ones are left out."""
    found: list[Nearby] = []
    folders = [workspace]
    for folder in folders:
        try:
            entries = sorted(folder.iterdir())
        except OSError:
            continue
        for entry in entries:
            name = entry.relative_to(workspace).as_posix()
            if entry.name.startswith(".") or entry.name in _NOT_DATA:
                continue
            try:
                if entry.is_dir():
                    if (
                        folder == workspace
                        and len(folders) < _FOLDERS_LOOKED_INTO
                        and not _is_environment(entry)
                    ):
                        folders.append(entry)
                elif _holds_rows(entry.name):
                    found.append(Nearby(name, entry.stat().st_size))
            except OSError:
                continue
    return found


def _is_environment(folder: Path) -> bool:
    return (folder / "pyvenv.cfg").exists()


def _holds_rows(name: str) -> bool:
    plain = name.lower()
    for ending in _PACKED:
        plain = plain.removesuffix(ending)
    return plain.endswith(_ENDINGS)
