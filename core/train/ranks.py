"""Which of several training processes this is; only the first one speaks for the run."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import psutil

from core.runs.events import EventWriter
from core.runs.folder import Run
from core.runs.launch import name_process
from core.train.controller import Heartbeat


def world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def first_rank() -> bool:
    return int(os.environ.get("RANK", "0")) == 0


class SilentWriter(EventWriter):
    """The events of every rank but the first: none."""

    def write(self, kind: str, **values: Any) -> bool:
        return True


def take_over(run: Run) -> None:
    """Become the process of this run. A disk that refuses this does not end the run."""
    with contextlib.suppress(OSError, psutil.Error):
        run.summary.unlink(missing_ok=True)  # of an earlier life
        # Several ranks live and end with their launcher, which may be a cluster's and not the run's own.
        pid = os.getpid() if world_size() == 1 else os.getppid()
        name_process(run, pid, psutil.Process(pid).cmdline())
    Heartbeat(run)
