"""Finished parts of an evaluation, one JSON object per line, so that a stopped one goes on."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO


class Ledger:
    """An append-only file. Opened by `with`; a torn last line is left out when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: TextIO | None = None

    def entries(self, key: str) -> list[dict[str, Any]]:
        """The entries that hold `key` and are there already, in the order they were written."""
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        found: list[dict[str, Any]] = []
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if key in entry:
                found.append(entry)
        return found

    def write(self, entry: dict[str, Any]) -> None:
        assert self._file is not None, "opened by with"
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()

    def __enter__(self) -> Ledger:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        torn = self.path.exists() and not self.path.read_bytes().endswith(b"\n")
        self._file = self.path.open("a", encoding="utf-8")
        if torn:
            self._file.write("\n")
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        self._file.close()
