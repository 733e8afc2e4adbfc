"""One JSON document that holds many records: an array, or an object with one array of records inside.

The places of the top-level elements are found by a vectorised scan (quotes, brackets and commas), so that an
element is parsed only when it is asked for and the document is never in memory as objects.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from core.data.sources.lines import Bytes, map_bytes
from core.data.sources.record import LARGEST_RECORD_BYTES, Record, record_from_json, too_large

_SCAN_BYTES = 4 * 1024**2
_QUOTE, _BACKSLASH, _COMMA = 0x22, 0x5C, 0x2C


class JsonArrayFile:
    """The elements of the array that opens at byte `begin` of the file."""

    def __init__(self, path: Path, begin: int = 0) -> None:
        self.path = path
        self._data = map_bytes(path)
        self._bounds = element_bounds(self._data, begin)
        self._damage = self._damage_at_the_end(begin)

    def __len__(self) -> int:
        return len(self._bounds) + (self._damage is not None)

    def read(self, start: int, stop: int) -> list[Record]:
        return [self._record(number) for number in range(start, stop)]

    def _damage_at_the_end(self, begin: int) -> Record | None:
        """A record for what is lost where the array is not closed, or where more stands after it.

        An element that the end of the file cuts through is a damaged record of its own already.
        """
        end = int(self._bounds[-1][1]) if len(self._bounds) else begin
        closed = self._data[end : end + 1] == b"]" if len(self._bounds) else self._closes_at_once(begin)
        line = len(self._bounds) + 1
        if not closed:
            last = self._record(len(self._bounds) - 1) if len(self._bounds) else None
            whole = last is None or not last.problem
            return Record(line, None, "the file ends inside the array: the rest is lost") if whole else None
        rest = bytes(self._data[end + 1 :][:4096]) if len(self._bounds) else b""
        return (
            Record(line, None, "more stands after the end of the array, and is not read")
            if rest.strip()
            else None
        )

    def _closes_at_once(self, begin: int) -> bool:
        return bytes(self._data[begin + 1 :]).lstrip()[:1] == b"]"

    def _record(self, number: int) -> Record:
        if number == len(self._bounds):
            assert self._damage is not None
            return self._damage
        begin, end = (int(bound) for bound in self._bounds[number])
        if end - begin > LARGEST_RECORD_BYTES:
            return too_large(number + 1, end - begin)
        return record_from_json(number + 1, bytes(self._data[begin:end]))


class JsonDocumentFile:
    """A JSON object: one record, or the records of the one well-known key that holds them (`{"data": [...]}`)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        size = path.stat().st_size
        if size > LARGEST_RECORD_BYTES:
            self._records = [too_large(1, size)]
            return
        whole = record_from_json(1, path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
        inner = _records_inside(whole.raw)
        self._records = [whole] if inner is None else [Record(i, raw) for i, raw in enumerate(inner, 1)]

    def __len__(self) -> int:
        return len(self._records)

    def read(self, start: int, stop: int) -> list[Record]:
        return self._records[start:stop]


def _records_inside(raw: Any) -> list[Any] | None:
    if not isinstance(raw, dict):
        return None
    for key in ("data", "rows", "examples", "instances"):
        value = raw.get(key)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            return value
    return None


def element_bounds(data: Bytes, begin: int = 0) -> np.ndarray:
    """Byte range [start, end) of every element of the array that opens at `begin`: int64 [elements, 2].

    `data[begin]` is the opening bracket. An array that is cut off gives its last, broken element too.
    """
    commas: list[np.ndarray] = []
    inside_string, depth, escaped = False, 0, False
    end = len(data)
    for offset in range(begin, len(data), _SCAN_BYTES):
        chunk = np.frombuffer(data[offset : offset + _SCAN_BYTES], dtype=np.uint8)
        quotes, escaped = _unescaped_quotes(chunk, escaped)
        inside = np.logical_xor(np.cumsum(quotes, dtype=np.int64) & 1, inside_string)
        inside_string = bool(inside[-1])
        step: np.ndarray = np.zeros(len(chunk), dtype=np.int8)
        step[(chunk == 0x5B) | (chunk == 0x7B)] = 1
        step[(chunk == 0x5D) | (chunk == 0x7D)] = -1
        step[inside] = 0
        depths = np.cumsum(step, dtype=np.int64) + depth
        depth = int(depths[-1])
        closed = np.flatnonzero((depths == 0) & (step == -1))
        stop = int(closed[0]) if len(closed) else len(chunk)
        separators = np.flatnonzero((chunk[:stop] == _COMMA) & (depths[:stop] == 1) & ~inside[:stop])
        commas.append(separators + offset)
        if len(closed):
            end = offset + stop
            break
    inner = np.concatenate(commas) if commas else np.zeros(0, dtype=np.int64)
    starts = np.concatenate([[begin + 1], inner + 1])
    ends = np.concatenate([inner, [end]])
    if len(starts) == 1 and not bytes(data[int(starts[0]) : int(ends[0])]).strip():
        return np.zeros((0, 2), dtype=np.int64)
    return np.stack([starts, ends], axis=1)


def _unescaped_quotes(chunk: np.ndarray, escaped: bool) -> tuple[np.ndarray, bool]:
    """Where a quote opens or closes a string, and whether the byte after the chunk is escaped.

    A quote is escaped if an odd run of backslashes stands before it; `escaped` carries an odd run over.
    """
    backslash = chunk == _BACKSLASH
    quotes = chunk == _QUOTE
    if not backslash.any():
        if escaped:
            quotes[0] = False
        return quotes, False
    places = np.arange(len(chunk))
    # For each place, the last place before or at it that is no backslash; a carried odd run counts as one more.
    last_other = np.maximum.accumulate(np.where(backslash, -2 if escaped else -1, places))
    run_before: np.ndarray = np.empty(len(chunk), dtype=np.int64)
    run_before[0] = 1 if escaped else 0
    run_before[1:] = places[:-1] - last_other[:-1]
    last_run = len(chunk) - 1 - int(last_other[-1])
    return quotes & (run_before % 2 == 0), last_run % 2 == 1
