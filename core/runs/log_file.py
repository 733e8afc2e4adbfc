"""A growing log file by line number, without reading it whole: offsets in memory, text on disk.

log = LogFile(folder / "log.txt")
log.grow()                  # index what has been written since
log.lines(log.count - 20, 20)
"""

from __future__ import annotations

import os
from array import array
from pathlib import Path

BLOCK_BYTES = 1 << 20
LONGEST_LINE_BYTES = 4000


class LogFile:
    """Eight bytes of memory per line. Not thread-safe: one reader owns it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._starts = array("Q", [0])
        self._size = 0

    @property
    def count(self) -> int:
        """Lines so far; a last line without its newline counts."""
        return len(self._starts) - (1 if self._starts[-1] == self._size else 0)

    def grow(self) -> bool:
        """Index what was appended. True if there is more than before; a file that shrank starts anew."""
        try:
            handle = os.open(self.path, os.O_RDONLY)
        except OSError:
            return False
        try:
            size = os.fstat(handle).st_size
            if size < self._size:
                self._starts, self._size = array("Q", [0]), 0
            if size == self._size:
                return False
            while self._size < size:
                block = os.pread(handle, min(BLOCK_BYTES, size - self._size), self._size)
                if not block:
                    break
                at = block.find(b"\n")
                while at >= 0:
                    self._starts.append(self._size + at + 1)
                    at = block.find(b"\n", at + 1)
                self._size += len(block)
            return True
        finally:
            os.close(handle)

    def lines(self, first: int, count: int) -> list[str]:
        """Up to `count` lines from number `first` (0-based). Long lines are cut; of a line that was drawn
        over with carriage returns (progress bars) the last state counts."""
        first = max(first, 0)
        last = min(first + count, self.count)
        if first >= last:
            return []
        try:
            handle = os.open(self.path, os.O_RDONLY)
        except OSError:
            return []
        try:
            return [self._line(handle, number) for number in range(first, last)]
        finally:
            os.close(handle)

    def find(self, text: str, start: int, step: int = 1) -> int | None:
        """Number of the next line from `start` on that contains the text, ignoring case; None if none does.

        `step` -1 searches towards the top.
        """
        wanted = text.lower()
        number = start
        while 0 <= number < self.count:
            block = (
                range(number, min(number + 512, self.count))
                if step > 0
                else range(number, max(number - 512, -1), -1)
            )
            low = min(block[0], block[-1])
            found = self.lines(low, len(block))
            for candidate in block:
                if candidate - low < len(found) and wanted in found[candidate - low].lower():
                    return candidate
            number = block[-1] + step
        return None

    def _line(self, handle: int, number: int) -> str:
        start = self._starts[number]
        end = self._starts[number + 1] - 1 if number + 1 < len(self._starts) else self._size
        # The end of an over-long line of progress states is what stands there now.
        length = min(end - start, 16 * LONGEST_LINE_BYTES)
        data = os.pread(handle, length, end - length)
        return data.rstrip(b"\r").rpartition(b"\r")[2][:LONGEST_LINE_BYTES].decode("utf-8", "replace")
