"""What every source gives: records by number, each with its place in the file or the reason it cannot be read."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic_core import from_json

# A record beyond this is refused, so that one damaged line cannot fill the memory.
LARGEST_RECORD_BYTES = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a file: its line or record number from 1, and the parsed value or a problem."""

    line: int
    raw: Any
    problem: str = ""


class RecordFile(Protocol):
    """A file whose records can be reached by number."""

    path: Path

    def __len__(self) -> int: ...

    def read(self, start: int, stop: int) -> list[Record]:
        """Records start..stop-1, both within the file. Never raises for what the file holds."""


def record_from_json(line: int, data: bytes) -> Record:
    """One JSON value from bytes; every way it can fail becomes a problem in words."""
    if len(data) > LARGEST_RECORD_BYTES:
        return too_large(line, len(data))
    # The same values as the standard library's, in a third of the time. It takes less (no half of a character,
    # no deep nesting), so what it refuses is read again.
    with contextlib.suppress(ValueError):
        return Record(line, from_json(data, cache_strings="keys"))
    try:
        return Record(line, json.loads(data.decode("utf-8")))
    except UnicodeDecodeError as error:
        return Record(
            line, None, f"not UTF-8: byte {error.start + 1} of the record is 0x{data[error.start]:02x}"
        )
    except json.JSONDecodeError as error:
        return Record(
            line, None, f"not JSON: {error.msg.lower().removesuffix(' at')} at character {error.pos + 1}"
        )
    except RecursionError:
        return Record(line, None, "nested too deeply to be read")
    except ValueError as error:
        return Record(line, None, f"not JSON: {error}")


def too_large(line: int, size_bytes: int) -> Record:
    """The problem of a record beyond LARGEST_RECORD_BYTES."""
    limit = LARGEST_RECORD_BYTES // 1024**2
    return Record(line, None, f"the record has {size_bytes / 1024**2:,.0f} MiB; the limit is {limit} MiB")
