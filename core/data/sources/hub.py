"""A data set of the Hub, through the `datasets` library: its Arrow cache gives random access."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.data.sources.record import Record
from core.errors import MissingError, UsageError

if TYPE_CHECKING:
    from core.data.rows import Rows
    from core.recipe import DataSection


class HubFile:
    """One split of a Hub data set, read through its local cache."""

    def __init__(self, dataset: Any, source: str) -> None:
        self._dataset = dataset
        self.path = Path(dataset.cache_files[0]["filename"]) if dataset.cache_files else Path(source)

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
    """Download (or find in the cache) one split. Raises MissingError if it cannot be reached, UsageError for a wrong split."""
    from core.data.rows import Rows

    dataset = _load(source, section)
    return Rows(
        [HubFile(dataset, source)],
        [f"{source}/{section.split}"],
        (f"Hub data set {source}, split {section.split}",),
    )


def _load(source: str, section: DataSection) -> Any:
    import datasets

    try:
        return datasets.load_dataset(source, section.config or None, split=section.split)
    except ValueError as error:
        raise UsageError(str(error), where=source, fix="set data.config and data.split") from None
    except OSError as error:  # DatasetNotFoundError is one
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MissingError(
            f"the data set cannot be reached: {first}",
            where=source,
            fix="check the name and the network; a private or gated set needs HF_TOKEN",
        ) from None
