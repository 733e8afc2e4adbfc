"""Events: one JSON object per line of a run's `events.jsonl`, appended with one write, never changed.

Every event has `kind` and `time` (seconds since the epoch). The kinds and their keys are the contract
between the trainer, which writes, and everything that watches, which only reads:

| kind        | keys                                                                                      |
|-------------|-------------------------------------------------------------------------------------------|
| status      | state ("starting", "loading", "running", "saving", ...), note                             |
| environment | versions {package: version}, device, devices, trainable, total, steps, planned_peak_bytes |
| step        | step, steps, epoch, loss, learning_rate, grad_norm, tokens, trained_tokens,               |
|             | tokens_per_second, eta_seconds, allocated_bytes, reserved_bytes, peak_allocated_bytes     |
| eval        | step, eval_loss, tokens                                                                   |
| sample      | step, prompt, answer                                                                      |
| checkpoint  | step, path, bytes, verified                                                               |
| warning     | rule, what, rows                                                                          |
| control     | request, id, done                                                                         |
| error       | what, fix, type                                                                           |
| end         | state ("done", "stopped", "failed", "out_of_memory"), step, steps, loss, eval_loss,       |
|             | peak_allocated_bytes, planned_peak_bytes, seconds                                         |
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

FILE_NAME = "events.jsonl"


def append_event(folder: Path, kind: str, **values: Any) -> None:
    """Append one event with a single `write`, so that concurrent readers never see two halves mixed.

    Raises OSError (full disk, read-only folder); the caller decides whether that may end a run.
    """
    line = json.dumps({"kind": kind, "time": round(time.time(), 3), **values}, ensure_ascii=False) + "\n"
    handle = os.open(folder / FILE_NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


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
    events = []
    for line in complete.split(b"\n") if newline else []:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and "kind" in event:
            events.append(event)
    return events, offset + len(complete) + len(newline)
