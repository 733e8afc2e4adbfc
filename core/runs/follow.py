"""Following a run: its events and its log from any offset on, until it has ended.

A follower only reads. It may start late, stop at any time, and many may follow one run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.runs.events import read_events
from core.runs.folder import Run
from core.runs.state import RunState, read_state

POLL_SECONDS = 0.25
ALIVE_CHECK_SECONDS = 2.0


def follow(run: Run, offset: int = 0, poll_seconds: float = POLL_SECONDS) -> Iterator[dict[str, Any]]:
    """Events from byte `offset` on, as they come, until the run has ended.

    Also ends when the trainer is gone without an `end` event; `read_state` then says "lost".
    """
    next_check = 0.0
    while True:
        events, offset = read_events(run.folder, offset)
        yield from events
        ended = bool(events) and events[-1]["kind"] == "end"
        if ended or (not events and time.monotonic() >= next_check):
            if read_state(run.folder).ended:
                # Between the read above and now the last lines may have come.
                rest, offset = read_events(run.folder, offset)
                yield from rest
                return
            next_check = time.monotonic() + ALIVE_CHECK_SECONDS
        if not events:
            time.sleep(poll_seconds)


def wait_for_end(run: Run, timeout_seconds: float) -> RunState:
    """The run's state once it has ended, or as it stands when the time is over."""
    until = time.monotonic() + timeout_seconds
    while True:
        state = read_state(run.folder)
        if state.ended or time.monotonic() > until:
            return state
        time.sleep(POLL_SECONDS)


def read_log(path: Path, offset: int = 0, most_bytes: int = 64 * 1024) -> tuple[str, int]:
    """Log text from byte `offset` on (a negative one counts from the end), and the offset to go on from.

    At most `most_bytes` are read. Bytes that are not UTF-8 are shown as replacement characters.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(size + offset, 0) if offset < 0 else min(offset, size)
            file.seek(start)
            data = file.read(most_bytes)
    except FileNotFoundError:
        return "", max(offset, 0)
    return data.decode("utf-8", errors="replace"), start + len(data)


def last_log_lines(path: Path, lines: int = 200) -> str:
    """The last lines of a log, for a person or for `core.runs.diagnose`."""
    text, _ = read_log(path, -256 * 1024, 256 * 1024)
    return "\n".join(text.splitlines()[-lines:])
