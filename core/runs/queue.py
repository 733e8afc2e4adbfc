"""Runs that wait for their turn: the next one starts when no run of the workspace is at work.

The queue is files: each waiting run has an entry in `runs/.queue/`, named so that the order is the order of
names. One detached runner owns it, by a lock that ends with its process; it leaves when nothing waits.

`python -P -m core.runs.queue WORKSPACE` is the runner.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from core.errors import TunedeckError
from core.recipe import Recipe, require_here
from core.runs.events import append_event
from core.runs.find import living_runs
from core.runs.folder import Run
from core.runs.launch import launch, our_environment
from core.runs.start import Progress, create
from core.runs.state import queue_folder, waiting_ids
from core.workspace import Workspace

POLL_SECONDS = 2.0


def enqueue(
    workspace: Workspace,
    recipe: Recipe,
    *,
    name: str | None = None,
    prepared: Path | None = None,
    progress: Progress | None = None,
) -> Run:
    """Make a run folder that waits for its turn, and see to it that a runner owns the queue."""
    require_here(recipe)
    run = create(workspace, recipe, name=name, prepared=prepared, progress=progress)
    append_event(run.folder, "status", state="queued", note="")
    folder = queue_folder(workspace.runs)
    folder.mkdir(exist_ok=True)
    (folder / f"{time.time_ns():020d} {run.id}").touch()
    start_runner(workspace)
    return run


def waiting(workspace: Workspace) -> list[Run]:
    """The runs that wait, in their order."""
    return [Run(workspace.runs / name) for name in waiting_ids(workspace.runs)]


def take_out(workspace: Workspace, run: Run) -> bool:
    """Remove a run from the queue; its folder stays. False if it does not wait."""
    entries = list(queue_folder(workspace.runs).glob(f"* {run.id}"))
    for entry in entries:
        entry.unlink(missing_ok=True)
    if entries:
        append_event(run.folder, "end", state="stopped", note="taken out of the queue", step=0)
    return bool(entries)


def move(workspace: Workspace, run: Run, places: int) -> bool:
    """Let a waiting run start earlier (-1) or later (+1); False if it cannot go further, or does not wait.

    One rename, so that the entry is there at every moment, whoever looks.
    """
    entries = sorted(_entries(workspace), key=lambda path: path.name)
    ids = [_id_of(entry) for entry in entries]
    if run.id not in ids or not 0 <= ids.index(run.id) + places < len(ids):
        return False
    entry = entries.pop(ids.index(run.id))
    place = ids.index(run.id) + places
    before = _number_of(entries[place - 1]) if place else 0
    after = _number_of(entries[place]) if place < len(entries) else time.time_ns()
    try:
        entry.rename(entry.with_name(f"{(before + after) // 2:020d} {run.id}"))
    except FileNotFoundError:  # its turn has come meanwhile
        return False
    return True


def start_runner(workspace: Workspace) -> None:
    """Start a runner, detached. One that finds another at work leaves at once, so this is always safe."""
    with (queue_folder(workspace.runs) / "runner.log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-P", "-m", "core.runs.queue", str(workspace.root)],
            cwd=workspace.root,
            env=our_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def work(workspace: Workspace, poll_seconds: float = POLL_SECONDS) -> None:
    """Start waiting runs one after another until none is left. Returns at once if another runner is at work."""
    while True:
        with _owned(workspace) as ours:
            if not ours:
                return
            while waiting_ids(workspace.runs):
                if not any(state.phase != "queued" for state in living_runs(workspace)):
                    _start_next(workspace)
                time.sleep(poll_seconds)
        # A run may have been queued between the last look and giving up the lock.
        if not waiting_ids(workspace.runs):
            return


def _start_next(workspace: Workspace) -> None:
    entry = min(_entries(workspace), key=lambda path: path.name)
    run = Run(workspace.runs / _id_of(entry))
    try:
        launch(run)
    except TunedeckError as error:
        with contextlib.suppress(OSError):
            append_event(run.folder, "error", what=error.what, fix=error.fix, type="TunedeckError")
            append_event(run.folder, "end", state="failed", step=0)
    finally:
        entry.unlink(missing_ok=True)


def _entries(workspace: Workspace) -> list[Path]:
    folder = queue_folder(workspace.runs)
    return [entry for entry in folder.iterdir() if " " in entry.name] if folder.exists() else []


def _number_of(entry: Path) -> int:
    return int(entry.name.partition(" ")[0])


def _id_of(entry: Path) -> str:
    return entry.name.partition(" ")[2]


@contextlib.contextmanager
def _owned(workspace: Workspace) -> Iterator[bool]:
    handle = os.open(queue_folder(workspace.runs) / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        yield False
        return
    try:
        yield True
    finally:
        os.close(handle)


if __name__ == "__main__":
    work(Workspace(Path(sys.argv[1])))
