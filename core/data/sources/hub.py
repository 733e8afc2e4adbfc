"""A data set of the Hub, through the `datasets` library: its Arrow cache gives random access.

A set that was downloaded once is opened from this machine again: at once while the Hub stands at the same
commit, and when it cannot be reached.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from core.data.sources.hub_errors import data_set_errors, quiet
from core.data.sources.record import Record
from core.errors import MissingError
from core.models.hub import HubUnreachable, api, check_reachable
from core.workspace import cache_folder, write_json_atomically

if TYPE_CHECKING:
    from core.data.rows import Rows
    from core.recipe import DataSection


class HubFile:
    """One split of a Hub data set, read through its local cache; one file of the cache."""

    def __init__(self, path: Path) -> None:
        from datasets import Dataset

        self.path = path
        self._dataset = Dataset.from_file(str(path))

    def __len__(self) -> int:
        return len(self._dataset)

    def read(self, start: int, stop: int) -> list[Record]:
        columns = self._dataset[start:stop]
        names = list(columns)
        return [
            Record(number + 1, {name: columns[name][number - start] for name in names})
            for number in range(start, stop)
        ]


def hub_rows(source: str, section: DataSection) -> Rows:
    """Download one split, or open it from the cache.

    Raises MissingError if the set cannot be had (no such set, gated, no network and nothing here), UsageError
    for a configuration, split or revision it does not have.
    """
    note = ""
    with data_set_errors(source, section):
        try:
            commit = hub_commit(source, section)
        except HubUnreachable:
            files = downloaded(source, section)
            if not files:
                raise
            note = "the Hub cannot be reached: the copy on this machine is used"
        else:
            files = downloaded(source, section, commit) or _download(source, section, commit)
        return _rows(source, section, files, note)


def kept_rows(source: str, section: DataSection) -> Rows:
    """The copy on this machine, without asking the Hub. Raises MissingError if there is none."""
    files = downloaded(source, section)
    if not files:
        raise MissingError(
            "this data set is not on this machine", where=source, fix="tunedeck prepare gets it"
        )
    return _rows(source, section, files, "")


def hub_commit(source: str, section: DataSection) -> str:
    """The commit that the revision names now. Raises what huggingface_hub raises, HubUnreachable within seconds."""
    check_reachable()
    hub = api()
    hub.auth_check(source, repo_type="dataset")
    return str(hub.dataset_info(source, revision=section.revision).sha)


def downloaded(source: str, section: DataSection, commit: str = "") -> list[Path]:
    """The cache's files of a split that was downloaded before (at this commit); empty if they are not there."""
    try:
        kept = json.loads(_note(source, section).read_text(encoding="utf-8"))
        files = [Path(file) for file in kept["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    same = not commit or kept.get("commit") == commit
    return files if same and all(file.is_file() for file in files) else []


def _download(source: str, section: DataSection, commit: str) -> list[Path]:
    import datasets

    with quiet():
        split = datasets.load_dataset(
            source,
            section.config or None,
            split=section.split,
            revision=commit,
            verification_mode="no_checks",
        )
    files = [Path(item["filename"]) for item in split.cache_files]
    write_json_atomically(_note(source, section), {"commit": commit, "files": [str(file) for file in files]})
    return files


def _rows(source: str, section: DataSection, files: list[Path], note: str) -> Rows:
    from core.data.rows import Rows

    config = f", configuration {section.config}" if section.config else ""
    said = f"Hub data set {source}{config}, split {section.split}, revision {section.revision}"
    name = f"{source}/{section.split}"
    names = [name] if len(files) == 1 else [f"{name}-{number}" for number in range(len(files))]
    notes = (said, note) if note else (said,)
    return Rows([HubFile(file) for file in files], names, notes)


def _note(source: str, section: DataSection) -> Path:
    """Where a download is remembered."""
    from huggingface_hub import constants

    key = "\0".join((constants.ENDPOINT, source, section.config, section.split, section.revision))
    return cache_folder() / "hub-data" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
