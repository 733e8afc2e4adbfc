"""Requests to a running trainer: checkpoint, stop-and-save, stop; and, as the last resort, kill.

Requests lie in the run's `control.json`, each with an id. The trainer answers each with a `control` event.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import socket
import time
import uuid
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from core.errors import TunedeckError, UsageError
from core.runs.events import append_event, read_events
from core.runs.folder import Run
from core.runs.identity import is_alive, is_here, process_from_json
from core.runs.state import read_state
from core.workspace import one_writer, write_json_atomically

What = Literal["checkpoint", "stop-and-save", "stop"]
KILL = "kill"  # carried out from outside; in the file for the record only
KILL_SECONDS = 10.0  # that a killed process may take to be gone


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as it lies in `control.json`: who asked for what, and when (seconds since the epoch)."""

    id: str
    request: str
    by: str = ""
    time: float = 0.0


def request(run: Run, what: What) -> Request:
    """Ask the trainer of a run for something. Returns at once; `answered` tells when it was done.

    Raises UsageError for an unknown request and TunedeckError if the request cannot be written.
    """
    if what not in get_args(What):
        raise UsageError(f"unknown request {what}", fix=f"known: {', '.join(get_args(What))}")
    try:
        return _put_on_file(run, what)
    except OSError as error:
        raise TunedeckError(
            f"the request cannot be written: {error.strerror}",
            where=str(run.control),
            fix="SIGTERM to the trainer asks for the same as stop-and-save",
        ) from None


def read_requests(run: Run) -> list[Request]:
    """Every request so far, oldest first; empty if there is none or the file is not readable."""
    try:
        entries = json.loads(run.control.read_text(encoding="utf-8"))["requests"]
        return [
            Request(str(entry["id"]), entry["request"], str(entry.get("by", "")), float(entry.get("time", 0)))
            for entry in entries
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def answer(run: Run, asked: Request) -> dict[str, Any] | None:
    """The event that answers a request; None while there is none."""
    events, _ = read_events(run.folder)
    for event in reversed(events):
        if event["kind"] == "control" and event.get("id") == asked.id:
            return event
    return None


def wait_for_answer(run: Run, asked: Request, timeout_seconds: float) -> dict[str, Any] | None:
    """Wait for the answer; None if the run ended without one, or it did not come in time."""
    until = time.monotonic() + timeout_seconds
    while True:
        event = answer(run, asked)
        if event is not None or time.monotonic() > until:
            return event
        if read_state(run.folder).ended:
            return answer(run, asked)  # it may have come between the two looks
        time.sleep(0.2)


def kill(run: Run) -> bool:
    """End the trainer and its helpers at once, without saving. False if it no longer lives.

    Only the very process that the run names is ended, with its own children; who did it and when
    stays with the run. Raises TunedeckError if it runs on another host.
    """
    import psutil

    process = process_from_json(run.read_json(run.identity).get("process"))
    if process is None:
        return False
    if not is_here(process):
        raise TunedeckError(
            f"the trainer runs on {process.host}, not here", fix=f"kill it there, or ask it: stop {run.id}"
        )
    if not is_alive(process):
        return False
    asked = _recorded_kill(run)
    # The ranks of a distributed run have sessions of their own, so the process group is not enough.
    leader = psutil.Process(process.pid)
    for one in [*leader.children(recursive=True), leader]:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    until = time.monotonic() + KILL_SECONDS
    while is_alive(process) and time.monotonic() < until:
        time.sleep(0.05)
    if not is_alive(process):
        with contextlib.suppress(
            OSError
        ):  # a full disk: the run is then shown as lost, which is true as well
            at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(asked.time))
            note = f"killed by {asked.by} at {at}; what it did since its last checkpoint is lost"
            append_event(run.folder, "status", state="killed", note=note)
            append_event(run.folder, "end", state="stopped", note=note)
    return True


def _recorded_kill(run: Run) -> Request:
    """The request to kill, on file if the disk takes it: a full disk must not protect a run."""
    try:
        return _put_on_file(run, KILL)
    except OSError:
        return _new_request(KILL)


def _new_request(what: str) -> Request:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in some containers
        user = str(os.getuid())
    return Request(uuid.uuid4().hex[:8], what, f"{user}@{socket.gethostname()}", round(time.time(), 3))


def _put_on_file(run: Run, what: str) -> Request:
    new = _new_request(what)
    with one_writer(run.folder):
        entries = [asdict(entry) for entry in (*read_requests(run), new)]
        write_json_atomically(run.control, {"requests": entries})
    return new
