"""Events: one JSON object per line of a run's `events.jsonl`, appended with one write, never changed.

Every event has `kind` and `time` (seconds since the epoch). The kinds and their keys are the contract
between the trainer, which writes, and everything that watches, which only reads:

| kind        | keys                                                                                      |
|-------------|-------------------------------------------------------------------------------------------|
| status      | state ("starting", "loading", "running", "saving", ...), note, step (when resumed)        |
| environment | versions {package: version}, device, devices, trainable, total, steps, planned_peak_bytes |
| probe       | rows, tokens, loss, seconds, peak_allocated_bytes, peak_rss_bytes                         |
| step        | step, steps, epoch, loss, learning_rate, grad_norm, tokens, trained_tokens,               |
|             | tokens_per_second, eta_seconds, allocated_bytes, reserved_bytes, peak_allocated_bytes,    |
|             | peak_reserved_bytes, device_used_bytes, peak_rss_bytes; eval_loss and best_eval_loss        |
|             | of the last evaluation                                                                    |
| eval        | step, eval_loss, tokens                                                                   |
| sample      | step, prompt, answer                                                                      |
| checkpoint  | step, path, bytes, verified                                                               |
| warning     | rule, what, rows                                                                          |
| control     | request, id, done                                                                         |
| error       | what, fix, type                                                                           |
| end         | state ("done", "stopped", "failed", "out_of_memory"), step, steps, loss, eval_loss,       |
|             | peak_allocated_bytes, planned_peak_bytes, seconds, phases {load, forward, backward,       |
|             | optimizer, evaluation, checkpoint: {peak_allocated_bytes, peak_reserved_bytes,            |
|             | reserved_bytes, device_used_bytes, peak_rss_bytes}}                                       |

A number that is not finite is written as null: NaN is not JSON.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections import deque
from pathlib import Path
from typing import Any

FILE_NAME = "events.jsonl"
KEPT_UNWRITTEN = 10_000  # events held back while the disk refuses them; the oldest go first


def append_event(folder: Path, kind: str, **values: Any) -> None:
    """Append one event with a single `write`, so that concurrent readers never see two halves mixed.

    A torn line left by an earlier failure is closed first, so it can never swallow this one.
    Raises OSError (full disk, read-only folder); the caller decides whether that may end a run.
    """
    _append_lines(folder, [event_line(kind, **values)])


def event_line(kind: str, **values: Any) -> bytes:
    """One event as the bytes of its line, stamped with the time of now."""
    event = {"kind": kind, "time": round(time.time(), 3), **values}
    return (json.dumps(_finite(event), ensure_ascii=False, allow_nan=False) + "\n").encode()


class EventWriter:
    """Appends events for a process that must not end because of them.

    What the disk refuses is kept in memory and written, in order, as soon as it accepts again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problem = ""  # why the last attempt failed, in words; empty when all is on disk
        self._unwritten: deque[bytes] = deque(maxlen=KEPT_UNWRITTEN)

    def write(self, kind: str, **values: Any) -> bool:
        """Append one event; False if it had to be kept back."""
        self._unwritten.append(event_line(kind, **values))
        return self.flush()

    def flush(self) -> bool:
        """Try to write what was kept back; True if nothing is left."""
        while self._unwritten:
            try:
                _append_lines(self.folder, [self._unwritten[0]])
            except OSError as error:
                self.problem = error.strerror or str(error)
                return False
            self._unwritten.popleft()
        self.problem = ""
        return True


def read_events(folder: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Events from byte `offset` on, and the offset to go on from.

    A torn last line is left for the next read. A line that is not JSON is skipped: the rest still counts.
    """
    try:
        with (folder / FILE_NAME).open("rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return [], offset
    complete, newline, _torn = data.rpartition(b"\n")
    return parse_events(complete) if newline else [], offset + len(complete) + len(newline)


def newest_of_each_kind(folder: Path, most_bytes: int) -> list[dict[str, Any]]:
    """The last event of every kind within the last `most_bytes` of the file, in the order they came.

    A torn last line and a first line cut by the limit are left out.
    """
    try:
        with (folder / FILE_NAME).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - most_bytes, 0))
            data = file.read()
    except FileNotFoundError:
        return []
    if size > most_bytes:
        data = data.partition(b"\n")[2]
    newest: dict[str, dict[str, Any]] = {}
    for event in parse_events(data[: data.rfind(b"\n") + 1]):
        newest.pop(event["kind"], None)  # so that the order is that of the last ones
        newest[event["kind"]] = event
    return list(newest.values())


def parse_events(lines: bytes) -> list[dict[str, Any]]:
    """Every line that is an event; other lines are skipped."""
    events = []
    for line in lines.split(b"\n"):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and "kind" in event:
            events.append(event)
    return events


def _append_lines(folder: Path, lines: list[bytes]) -> None:
    handle = os.open(folder / FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        data = (b"\n" if torn else b"") + b"".join(lines)
        written = os.write(handle, data)
        if written < len(data):
            # A full disk can take a part. Cut it off again, so that a later attempt writes the whole line once.
            os.ftruncate(handle, size)
            raise OSError(28, "No space left on device")
    finally:
        os.close(handle)


def _finite(value: Any) -> Any:
    """The value with every NaN and infinity replaced by None, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return value
