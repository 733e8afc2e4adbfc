"""The first rows of a Hub data set by streaming, before anybody decides to download it."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.data.sources.hub import hub_commit
from core.data.sources.hub_errors import data_set_errors, quiet
from core.data.sources.record import Record

if TYPE_CHECKING:
    from core.data.rows import Rows
    from core.recipe import DataSection

LOOK_ROWS = 100
# The library reads ten megabytes of a text file at a time; for a look one is enough.
_CHUNK_BYTES = 1024**2


class LookFile:
    """Rows that were streamed; nothing of them is on disk."""

    def __init__(self, source: str, records: list[Record]) -> None:
        self.path = Path(source)
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def read(self, start: int, stop: int) -> list[Record]:
        return self._records[start:stop]


def look_at_hub(source: str, section: DataSection) -> Rows:
    """The first LOOK_ROWS rows. Raises as `hub_rows` does."""
    from core.data.rows import Rows

    with data_set_errors(source, section), quiet():
        stream = _stream(source, section, hub_commit(source, section))
        records = [Record(number, raw) for number, raw in enumerate(islice(stream, LOOK_ROWS + 1), 1)]
    more = len(records) > LOOK_ROWS
    said = f"Hub data set {source}, split {section.split}: a look by streaming, nothing is downloaded"
    note = f"only the first {LOOK_ROWS} rows are here; tunedeck check and prepare download the whole"
    return Rows(
        [LookFile(source, records[:LOOK_ROWS])],
        [f"{source}/{section.split}"],
        (said, note) if more else (said,),
        whole=not more,
    )


def _stream(source: str, section: DataSection, commit: str) -> Any:
    """The split as an iterable of records that asks for bytes as it goes."""
    import datasets
    import pyarrow as pa
    from pyarrow.dataset import ParquetFragmentScanOptions

    storage = {"hf": {"block_size": _CHUNK_BYTES}}
    builder = datasets.load_dataset_builder(
        source, section.config or None, revision=commit, storage_options=storage
    )
    config = builder.config
    if hasattr(config, "chunksize"):
        config.chunksize = min(config.chunksize, _CHUNK_BYTES)
    if hasattr(config, "fragment_scan_options"):
        ranges = pa.CacheOptions(hole_size_limit=8192, range_size_limit=_CHUNK_BYTES, lazy=True)
        config.fragment_scan_options = ParquetFragmentScanOptions(cache_options=ranges)
    return builder.as_streaming_dataset(split=section.split)
