"""Columnar files: parquet and Arrow (file or stream), read a batch at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from core.data.sources.record import Record
from core.errors import UsageError

_BATCH_ROWS = 256


class ArrowFile:
    """An Arrow IPC file or stream, mapped; only the rows asked for become Python values."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        self.path = path
        try:
            mapped = pa.memory_map(str(path))
            try:
                table = pa.ipc.open_file(mapped).read_all()
            except pa.ArrowInvalid:
                mapped.seek(0)
                table = pa.ipc.open_stream(mapped).read_all()
        except (pa.ArrowInvalid, OSError) as error:
            raise UsageError(f"not an Arrow file: {error}", where=str(path)) from None
        self._table = table

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def read(self, start: int, stop: int) -> list[Record]:
        return _records(self._table.slice(start, stop - start), start)


class ParquetFile:
    """A parquet file. A row is reached through its row group, read in batches; the last batch is kept."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path = path
        try:
            self._file = pq.ParquetFile(path, memory_map=True)
        except (pa.ArrowInvalid, OSError) as error:
            raise UsageError(f"not a parquet file: {error}", where=str(path)) from None
        sizes = [self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups)]
        self._group_starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]).astype(np.int64)
        self._kept: tuple[int, list[Record]] = (0, [])
        self._reader: tuple[int, int, Any] | None = None  # group, next row of the file, its batches

    def __len__(self) -> int:
        return int(self._group_starts[-1])

    def read(self, start: int, stop: int) -> list[Record]:
        records: list[Record] = []
        while start < stop:
            first, kept = self._batch_of(start)
            piece = kept[start - first : stop - first]
            records += piece
            start += len(piece)
        return records

    def _batch_of(self, row: int) -> tuple[int, list[Record]]:
        """The batch that holds a row; forward steps go on reading, a step back reopens the row group."""
        first, kept = self._kept
        if first <= row < first + len(kept):
            return self._kept
        group = int(np.searchsorted(self._group_starts, row, side="right")) - 1
        if self._reader is None or self._reader[0] != group or row < self._reader[1]:
            batches = self._file.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group])
            self._reader = (group, int(self._group_starts[group]), batches)
        _, at, batches = self._reader
        for batch in batches:
            first, at = at, at + batch.num_rows
            if row < at:
                self._reader = (group, at, batches)
                self._kept = (first, _records(batch, first))
                return self._kept
        raise IndexError(row)


def _records(rows: Any, first: int) -> list[Record]:
    """Python values of a table or batch; text that is not UTF-8 makes a problem of its row alone."""
    try:
        values = rows.to_pylist()
    except UnicodeDecodeError:
        return [_record(rows.slice(i, 1), first + i + 1) for i in range(rows.num_rows)]
    return [Record(first + i + 1, value) for i, value in enumerate(values)]


def _record(one: Any, line: int) -> Record:
    try:
        return Record(line, one.to_pylist()[0])
    except UnicodeDecodeError as error:
        return Record(line, None, f"not UTF-8: {error.reason}")
