"""Files with one record per line: JSON lines and plain text."""

from __future__ import annotations

import mmap
import re
from pathlib import Path

import numpy as np

from core.data.sources.record import LARGEST_RECORD_BYTES, Record, record_from_json, too_large

Bytes = mmap.mmap | bytes

_SCAN_BYTES = 16 * 1024**2
_BLANKS = b" \t\r\n\v\f"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def map_bytes(path: Path) -> Bytes:
    """The file's bytes, mapped; an empty file cannot be mapped and gives b""."""
    if path.stat().st_size == 0:
        return b""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def line_starts(data: Bytes) -> np.ndarray:
    """Byte offset of every line start (int64), closed by the offset one past the last line's end.

    A new line at the very end of the file opens no further line.
    """
    found: list[np.ndarray] = [np.zeros(1, dtype=np.int64)]
    for begin in range(0, len(data), _SCAN_BYTES):
        chunk = np.frombuffer(data[begin : begin + _SCAN_BYTES], dtype=np.uint8)
        found.append(np.flatnonzero(chunk == 0x0A) + begin + 1)
    starts = np.concatenate(found)
    return starts if starts[-1] == len(data) else np.append(starts, len(data))


class LineFile:
    """JSON lines (`text=False`) or plain text (`text=True`); blank lines are no records."""

    def __init__(self, path: Path, *, text: bool = False) -> None:
        self.path = path
        self._text = text
        self._data = map_bytes(path)
        starts = line_starts(self._data)
        self._starts, self._ends = starts[:-1], starts[1:]
        self._lines = np.flatnonzero(~self._blank()) if len(self._starts) else np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._lines)

    def read(self, start: int, stop: int) -> list[Record]:
        return [self._record(int(line)) for line in self._lines[start:stop]]

    def holding(self, needle: bytes) -> list[int]:
        """Numbers of the records whose bytes hold the needle, case aside."""
        places = [match.start() for match in re.finditer(re.escape(needle), self._data, re.IGNORECASE)]
        lines = np.unique(np.searchsorted(self._starts, np.asarray(places, dtype=np.int64), side="right") - 1)
        return np.flatnonzero(np.isin(self._lines, lines)).tolist()

    def _record(self, line: int) -> Record:
        begin, end = int(self._starts[line]), int(self._ends[line])
        if end - begin > LARGEST_RECORD_BYTES:
            return too_large(line + 1, end - begin)
        data = bytes(self._data[begin:end]).rstrip(b"\r\n")
        if line == 0:
            data = data.removeprefix(_BYTE_ORDER_MARK)
        if not self._text:
            return record_from_json(line + 1, data)
        try:
            return Record(line + 1, {"text": data.decode("utf-8")})
        except UnicodeDecodeError as error:
            return Record(
                line + 1, None, f"not UTF-8: byte {error.start + 1} of the line is 0x{data[error.start]:02x}"
            )

    def _blank(self) -> np.ndarray:
        """Which lines hold nothing but blanks (bool [lines])."""
        blank: np.ndarray = np.zeros(len(self._starts), dtype=bool)
        if not len(self._data):
            return blank
        first = np.frombuffer(self._data, dtype=np.uint8)[self._starts]
        for line in np.flatnonzero(np.isin(first, np.frombuffer(_BLANKS, dtype=np.uint8))):
            begin, end = int(self._starts[line]), int(self._ends[line])
            blank[line] = end - begin <= LARGEST_RECORD_BYTES and not self._data[begin:end].strip(_BLANKS)
        return blank
