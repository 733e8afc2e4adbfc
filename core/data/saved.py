"""Prepared rows as a folder that `datasets.load_from_disk` reads, written with pyarrow alone.

Columns: `input_ids` and `labels` (list of int32), `row` (int64, the number of the source row).
"""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

_FILE = "data-00000-of-00001.arrow"
_FEATURES = {
    "input_ids": {"feature": {"dtype": "int32", "_type": "Value"}, "_type": "List"},
    "labels": {"feature": {"dtype": "int32", "_type": "Value"}, "_type": "List"},
    "row": {"dtype": "int64", "_type": "Value"},
}


class SavedRows:
    """Writes one folder, batch by batch. A context manager: a failure leaves no folder behind."""

    def __init__(self, folder: Path) -> None:
        import pyarrow as pa

        self.folder = folder
        self.rows = 0
        self._partial = folder.with_name(f".{folder.name}.partial")
        if self._partial.exists():
            shutil.rmtree(self._partial)
        self._partial.mkdir(parents=True)
        schema = pa.schema(
            [
                ("input_ids", pa.list_(pa.int32())),
                ("labels", pa.list_(pa.int32())),
                ("row", pa.int64()),
            ],
            metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
        )
        self._schema = schema
        self._open(_FILE)

    def write(self, ids: np.ndarray, labels: np.ndarray, rows: np.ndarray, lengths: np.ndarray) -> None:
        """Append rows: ids and labels [tokens] end to end, source row numbers and token counts [rows]."""
        import pyarrow as pa

        if not len(rows):
            return
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
        batch = pa.record_batch(
            [
                pa.ListArray.from_arrays(offsets, pa.array(ids.astype(np.int32, copy=False))),
                pa.ListArray.from_arrays(offsets, pa.array(labels.astype(np.int32, copy=False))),
                pa.array(rows.astype(np.int64, copy=False)),
            ],
            schema=self._schema,
        )
        self._writer.write_batch(batch)
        self.rows += len(rows)

    def write_batch(self, batch: Any) -> None:
        """Append a record batch of the same columns."""
        if batch.num_rows:
            self._writer.write_batch(batch)
            self.rows += batch.num_rows

    def start_again(self) -> Path:
        """Set what was written aside, in a file of its own, and begin an empty one. Returns that file."""
        self._close()
        aside = self._partial / "aside.arrow"
        (self._partial / _FILE).rename(aside)
        self.rows = 0
        self._open(_FILE)
        return aside

    def _open(self, name: str) -> None:
        import pyarrow as pa

        self._file = pa.OSFile(str(self._partial / name), "wb")
        self._writer = pa.ipc.new_stream(self._file, self._schema)

    def finish(self, fingerprint: str) -> None:
        """Close the file and put the folder in its place."""
        self._close()
        state: dict[str, object] = {
            "_data_files": [{"filename": _FILE}],
            "_fingerprint": fingerprint[:16],
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": None,
        }
        info = {"citation": "", "description": "", "features": _FEATURES}
        (self._partial / "state.json").write_text(json.dumps(state), encoding="utf-8")
        (self._partial / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self._partial.replace(self.folder)

    def __enter__(self) -> SavedRows:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._close()
        if self._partial.exists():
            shutil.rmtree(self._partial, ignore_errors=True)

    def _close(self) -> None:
        with contextlib.suppress(Exception):
            self._writer.close()
        self._file.close()


def divide(train: SavedRows, held: np.ndarray, evaluation: SavedRows) -> None:
    """Move the held-out rows (bool [rows]) of what was written to `train` over to `evaluation`."""
    import pyarrow as pa

    aside = train.start_again()
    with pa.memory_map(str(aside)) as source:
        position = 0
        for batch in pa.ipc.open_stream(source):
            here = held[position : position + batch.num_rows]
            position += batch.num_rows
            train.write_batch(batch.filter(pa.array(~here)))
            evaluation.write_batch(batch.filter(pa.array(here)))
    aside.unlink()


def open_saved(folder: Path) -> list[dict[str, object]]:
    """Every row of a saved folder as plain values. For small sets and tests; loads all."""
    import pyarrow as pa

    with pa.memory_map(str(folder / _FILE)) as source:
        rows: list[dict[str, object]] = pa.ipc.open_stream(source).read_all().to_pylist()
        return rows
