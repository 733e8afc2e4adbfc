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

    def read(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """(losses, answers) that are already there."""
        losses: list[dict[str, Any]] = []
        answers: list[dict[str, Any]] = []
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return losses, answers
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            (losses if "loss" in entry else answers).append(entry)
        return losses, answers

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
