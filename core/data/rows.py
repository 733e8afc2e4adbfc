"""Random access to the rows of a data source. Nothing is loaded whole; a bad record never stops the rest.

rows = read_rows("chats.jsonl", workspace)
len(rows), rows[17].raw, rows[17].file, rows[17].line
for batch in rows.batches(1024): ...
"""

from __future__ import annotations

import hashlib
import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Literal

from core.data.sources.lines import LineFile
from core.data.sources.open_file import DATA_EXTENSIONS, open_file
from core.data.sources.record import RecordFile
from core.data.types import Row
from core.errors import UsageError
from core.recipe import DataSection

HUB_PREFIX = "hub:"
Reach = Literal["whole", "look", "here"]
DEMO_DATA = Path(__file__).resolve().parents[1] / "demo" / "data"

_SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "eval", "evaluation"),
    "test": ("test", "testing"),
}
_HASHED_WHOLE_BYTES = 256 * 1024**2
_SAMPLE_BYTES = 1024**2


class Rows:
    """The rows of a source, numbered from 0 over all its files in order of name."""

    def __init__(
        self, files: list[RecordFile], names: list[str], notes: tuple[str, ...] = (), *, whole: bool = True
    ) -> None:
        self.notes = notes  # what was decided while opening, in words
        self.whole = whole  # False where only the first rows were streamed, for a look
        self.names = tuple(names)
        self._files = files
        self._starts = [0, *accumulate(len(file) for file in files)]

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, number: int) -> Row:
        if not 0 <= number < len(self):
            raise IndexError(f"row {number} of {len(self)}")
        return self.read(number, number + 1)[0]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that the rows come from, in their order."""
        return tuple(Path(file.path) for file in self._files)

    def __iter__(self) -> Iterator[Row]:
        for batch in self.batches():
            yield from batch

    def read(self, start: int, stop: int) -> list[Row]:
        """Rows start..stop-1, cut at the end of the source."""
        stop = min(stop, len(self))
        rows: list[Row] = []
        while start < stop:
            index = bisect_right(self._starts, start) - 1
            first = self._starts[index]
            end = min(stop, self._starts[index + 1])
            records = self._files[index].read(start - first, end - first)
            name = self.names[index]
            rows += [
                Row(start + i, name, record.line, record.raw, record.problem)
                for i, record in enumerate(records)
            ]
            start = end
        return rows

    def batches(self, size: int = 1024) -> Iterator[list[Row]]:
        """All rows in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.read(start, start + size)

    def that_may_hold(self, text: str) -> Iterator[list[Row]]:
        """Batches of rows that include every row whose text holds `text`, case aside.

        Files of lines are searched as bytes, so that only likely rows are parsed; of others all rows come.
        """
        plain = text.isascii() and text.isprintable() and not set(text) & set('"\\/')
        for index, file in enumerate(self._files):
            first = self._starts[index]
            numbers = (
                file.holding(text.encode()) if plain and isinstance(file, LineFile) else range(len(file))
            )
            for start in range(0, len(numbers), 1024):
                yield [self[first + number] for number in numbers[start : start + 1024]]

    @cached_property
    def fingerprint(self) -> str:
        """A digest of the source's content: two sources with the same one give the same rows.

        Files beyond 256 MiB count by size, time of change and samples of their bytes.
        """
        digest = hashlib.blake2b(digest_size=16)
        for name, file in zip(self.names, self._files, strict=True):
            digest.update(name.encode())
            _digest_file(digest, file.path)
        return digest.hexdigest()


def read_rows(
    source: str,
    workspace: Path | None = None,
    data: DataSection | None = None,
    *,
    reach: Reach = "whole",
) -> Rows:
    """Open a file, a folder, a saved `datasets` folder, an embedded "demo/NAME", or a Hub data set.

    Relative paths count from the workspace; "hub:owner/name" is never a path. `reach` is for Hub data sets:
    "whole" downloads what is not on this machine yet, "look" streams its first rows instead, "here" opens only
    what is here, without asking the Hub. Raises UsageError if there is no such source or it holds no rows of a
    known kind, MissingError if a Hub data set cannot be had.
    """
    section = data or DataSection(source=source)
    path = None if source.startswith(HUB_PREFIX) else _find(source, workspace)
    if path is None:
        name = hub_name(source)
        if name:
            return _hub_rows(name, section, reach)
        raise UsageError(
            "no such data source",
            where=source,
            fix=f"name a file or folder below {workspace or Path.cwd()}, or a Hub data set as owner/name",
        )
    if path.is_dir():
        return _folder_rows(path, section)
    return Rows([open_file(path)], [path.name])


def require_rows(rows: Rows, source: str) -> None:
    """Raises UsageError for a source without a single row."""
    if not len(rows):
        raise UsageError("it holds no rows", where=source, fix="name a file with rows in data.source")


def hub_name(source: str) -> str:
    """The name of the Hub data set that a source without a file of that name stands for; empty if it cannot be one."""
    name = source.removeprefix(HUB_PREFIX)
    known = source.startswith(HUB_PREFIX) or not (
        source.endswith(DATA_EXTENSIONS) or source.startswith("demo/")
    )
    return name if known and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) else ""


def hub_state(source: str, section: DataSection) -> tuple[str, ...]:
    """What tells a Hub data set that was downloaded from one that was only looked at; no network."""
    name = hub_name(source)
    if not name:
        return ()
    from core.data.sources.hub import downloaded

    return tuple(map(str, downloaded(name, section)))


def _hub_rows(name: str, section: DataSection, reach: Reach) -> Rows:
    from core.data.sources.hub import downloaded, hub_rows, kept_rows

    if reach == "here":
        return kept_rows(name, section)
    if reach == "look" and not downloaded(name, section):
        from core.data.sources.hub_look import look_at_hub

        return look_at_hub(name, section)
    return hub_rows(name, section)


def _find(source: str, workspace: Path | None) -> Path | None:
    if not source:
        raise UsageError(
            "no data source is named", fix='set data.source in the recipe, for example "chats.jsonl"'
        )
    places = [(workspace or Path.cwd()) / Path(source).expanduser()]
    if source.startswith("demo/"):
        places.append(DEMO_DATA / source.removeprefix("demo/"))
    return next((place for place in places if place.exists()), None)


def _folder_rows(folder: Path, section: DataSection) -> Rows:
    if (folder / "dataset_dict.json").exists():
        return _folder_rows(_split_folder(folder, section.split), section)
    if (folder / "state.json").exists():
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        paths = [folder / item["filename"] for item in state.get("_data_files", [])]
        return Rows(
            [open_file(path) for path in paths], [path.name for path in paths], ("a saved datasets folder",)
        )
    paths = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and _is_data(path)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not paths:
        raise UsageError(
            "the folder holds no data files",
            where=str(folder),
            fix=f"known kinds: {', '.join(DATA_EXTENSIONS)}",
        )
    paths, notes = _of_split(paths, section.split)
    return Rows([open_file(path) for path in paths], [str(path.relative_to(folder)) for path in paths], notes)


def _is_data(path: Path) -> bool:
    name = path.name.lower()
    for packed in (".gz", ".bz2", ".xz", ".zst", ".lz4"):
        name = name.removesuffix(packed)
    return name.endswith(DATA_EXTENSIONS) and name not in (
        "dataset_info.json",
        "dataset_infos.json",
        "config.json",
    )


def _split_folder(folder: Path, split: str) -> Path:
    splits = json.loads((folder / "dataset_dict.json").read_text(encoding="utf-8")).get("splits", [])
    if split not in splits:
        raise UsageError(
            f'no split "{split}"', where=str(folder), fix=f"set data.split to one of: {', '.join(splits)}"
        )
    return folder / split


def _of_split(paths: list[Path], split: str) -> tuple[list[Path], tuple[str, ...]]:
    """Files named after splits (train.jsonl, test-0001.parquet): only the asked split's, and a note that says so."""
    by_split = {path: _split_named(path) for path in paths}
    named = {name for name in by_split.values() if name}
    wanted = next((name for name, words in _SPLIT_WORDS.items() if split in words), split)
    if len(named) < 2 or wanted not in named:
        return paths, ()
    chosen = [path for path in paths if by_split[path] == wanted]
    left = [path.name for path in paths if by_split[path] != wanted]
    return chosen, (f'split "{split}" by file name; left out: {", ".join(left)}',)


def _split_named(path: Path) -> str:
    words = re.split(r"[^a-z]+", path.name.lower())
    return next((name for name, known in _SPLIT_WORDS.items() if any(word in words for word in known)), "")


def _digest_file(digest: hashlib.blake2b, path: Path) -> None:
    if not path.is_file():
        return
    stat = path.stat()
    digest.update(str(stat.st_size).encode())
    with path.open("rb") as file:
        if stat.st_size <= _HASHED_WHOLE_BYTES:
            while piece := file.read(_SAMPLE_BYTES):
                digest.update(piece)
            return
        digest.update(str(stat.st_mtime_ns).encode())
        for part in range(16):
            file.seek(part * (stat.st_size - _SAMPLE_BYTES) // 15)
            digest.update(file.read(_SAMPLE_BYTES))
