"""Tables as text: comma, semicolon or tab separated values, quoted new lines included."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from core.data.sources.lines import Bytes, line_starts, map_bytes
from core.data.sources.record import LARGEST_RECORD_BYTES, Record, too_large

_QUOTE = 0x22
_SEPARATORS = (",", ";", "\t", "|")


class CsvFile:
    """Every field stays text: nothing becomes a number or a missing value by guessing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        csv.field_size_limit(LARGEST_RECORD_BYTES)
        self._data = map_bytes(path)
        starts = line_starts(self._data)
        header_line = bytes(self._data[: min(int(starts[min(1, len(starts) - 1)]), 64 * 1024)])
        self._separator = "\t" if path.suffix == ".tsv" else _separator_of(header_line)
        bounds = self._record_bounds(starts)
        self._header: list[str] = []
        if len(bounds):
            first = bytes(self._data[bounds[0][0] : bounds[0][1]]).removeprefix(b"\xef\xbb\xbf")
            self._header = self._fields(first.decode("utf-8", errors="replace"))
        self._bounds = bounds[1:]

    def __len__(self) -> int:
        return len(self._bounds)

    def read(self, start: int, stop: int) -> list[Record]:
        return [self._record(number) for number in range(start, stop)]

    def _record(self, number: int) -> Record:
        begin, end, line = (int(value) for value in self._bounds[number])
        if end - begin > LARGEST_RECORD_BYTES:
            return too_large(line, end - begin)
        data = bytes(self._data[begin:end])
        try:
            fields = self._fields(data.decode("utf-8"))
        except UnicodeDecodeError as error:
            return Record(
                line, None, f"not UTF-8: byte {error.start + 1} of the record is 0x{data[error.start]:02x}"
            )
        except csv.Error as error:
            return Record(line, None, f"not a csv record: {error}")
        if len(fields) != len(self._header):
            return Record(line, None, f"{len(fields)} fields, but the header names {len(self._header)}")
        return Record(line, dict(zip(self._header, fields, strict=True)))

    def _fields(self, text: str) -> list[str]:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=self._separator), [])

    def _record_bounds(self, starts: np.ndarray) -> np.ndarray:
        """[start, end, line number] of every record, the header first; a new line inside quotes joins lines."""
        if len(starts) < 2:
            return np.zeros((0, 3), dtype=np.int64)
        opens, closes = self._quoted_ranges()
        begins = starts[:-1]
        # A line start lies inside quotes if the last quote that opened before it has not closed yet.
        before = np.asarray(np.searchsorted(opens, begins, side="left")) - 1
        inside: np.ndarray = np.zeros(len(begins), dtype=bool)
        known = before >= 0
        inside[known] = closes[before[known]] >= begins[known]
        records = begins[~inside]
        ends = np.append(records[1:], starts[-1])
        lines = np.flatnonzero(~inside) + 1
        bounds = np.stack([records, ends, lines], axis=1)
        blank = [not bytes(self._data[b:e]).strip() if e - b <= 2 else False for b, e, _ in bounds]
        return bounds[~np.array(blank, dtype=bool)]

    def _quoted_ranges(self) -> tuple[np.ndarray, np.ndarray]:
        """Offsets of the quotes that open and close fields. Inside a field two quotes stand for one."""
        data, opens, closes = self._data, [], []
        may_precede = {0x0A, 0x0D, ord(self._separator)}
        opened, skip = False, -1
        begin = 3 if data[:3] == b"\xef\xbb\xbf" else 0
        for place in _places_of(data, _QUOTE):
            if place == skip:
                continue
            if opened:
                if place + 1 < len(data) and data[place + 1] == _QUOTE:
                    skip = place + 1
                else:
                    closes.append(place)
                    opened = False
            elif place == begin or data[place - 1] in may_precede:
                opens.append(place)
                opened = True
        if opened:
            closes.append(len(data))
        return np.array(opens, dtype=np.int64), np.array(closes, dtype=np.int64)


def _places_of(data: Bytes, byte: int, scan_bytes: int = 16 * 1024**2) -> list[int]:
    found: list[int] = []
    for begin in range(0, len(data), scan_bytes):
        chunk = np.frombuffer(data[begin : begin + scan_bytes], dtype=np.uint8)
        found += (np.flatnonzero(chunk == byte) + begin).tolist()
    return found


def _separator_of(header: bytes) -> str:
    """The separator that occurs most in the header line; a comma if none does."""
    text = header.decode("utf-8", errors="replace")
    return max(_SEPARATORS, key=lambda separator: text.count(separator))
