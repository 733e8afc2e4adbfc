"""The trainer's ears: requests in the run's `control.json` and signals, obeyed together by all ranks."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from core.runs.control import Request, read_requests
from core.runs.events import EventWriter
from core.runs.folder import Run
from core.runs.state import HEARTBEAT_SECONDS
from core.train.signals import StopSignals

NOTHING, CHECKPOINT, STOP_AND_SAVE, STOP = range(4)
PATIENCE_SECONDS = 5.0  # that a step may still take after a signal; machines are often taken away after 30
MEANING = {"checkpoint": CHECKPOINT, "stop-and-save": STOP_AND_SAVE, "stop": STOP}


class Controller(TrainerCallback):
    """Looks for requests at the end of every step. The most far-reaching one wins.

    `stopped` says in words why the run was ended early; empty if it was not.
    """

    def __init__(
        self, run: Run, events: EventWriter, signals: StopSignals, *, first_rank: bool, resumed: bool
    ) -> None:
        self.run = run
        self.events = events
        self.signals = signals
        self.first_rank = first_rank
        self.stopped = ""
        self._reason = ""  # of the trainer itself, to stop
        self.saved = False  # a stop that asked to save
        self._save_at_end = False  # a stop in the middle of a step
        # Requests to an earlier life of the run are void; those made while this one was starting are not.
        self._seen = {entry.id for entry in read_requests(run)} if resumed else set()
        self._version = (0, 0)  # of the control file: every write makes a new one
        self._open: list[Request] = []

    def ask_to_stop(self, why: str) -> None:
        """From inside the trainer (a watch rule): stop and save at the end of this step."""
        self._reason = self._reason or why

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._read_new()
        asked = max((MEANING[entry.request] for entry in self._open), default=NOTHING)
        if self.signals.received or self._reason:
            asked = max(asked, STOP_AND_SAVE)
        asked = _largest_of_all_ranks(asked)
        if asked in (CHECKPOINT, STOP_AND_SAVE):
            control.should_save = True
        if asked >= STOP_AND_SAVE:
            control.should_training_stop = True
            self.saved = asked == STOP_AND_SAVE
            self.stopped = self.signals.received or self._reason or "asked to stop"
            if not self.signals.received:  # a signal has been told when it came
                self._say("status", state="stopping", note=self.stopped)
        if asked == STOP:
            control.should_save = False
            self._acknowledge(done=True)

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """A long step must not eat up the grace period: what it has gathered is given up, the step before saved."""
        overdue = self.signals.seconds_since() > PATIENCE_SECONDS
        if self.signals.received and overdue and args.world_size == 1:
            control.should_training_stop = True
            self.stopped = self.signals.received
            self.saved = self._save_at_end = state.global_step > 0

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._acknowledge(done=True)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if self.stopped:
            # An epoch that is broken off is no epoch: no evaluation, and what was to be saved is saved.
            control.should_evaluate = control.should_log = False
            control.should_save = self._save_at_end

    def refuse_open(self) -> None:
        """Answer requests that came too late to be obeyed."""
        self._read_new()
        self._acknowledge(done=False)

    def _read_new(self) -> None:
        if not self.first_rank:
            return
        try:
            found = self.run.control.stat()
        except OSError:
            return
        version = (found.st_ino, found.st_mtime_ns)
        if version != self._version:
            self._version = version
            new = [
                entry
                for entry in read_requests(self.run)
                if entry.id not in self._seen and entry.request in MEANING
            ]
            self._seen |= {entry.id for entry in new}
            self._open += new

    def _acknowledge(self, *, done: bool) -> None:
        for entry in self._open:
            self._say("control", request=entry.request, id=entry.id, done=done)
        self._open.clear()

    def _say(self, kind: str, **values: Any) -> None:
        if self.first_rank:
            self.events.write(kind, **values)


def end_with_launcher() -> None:
    """A rank whose launcher was killed checkpoints and ends: nobody would ever end it otherwise."""
    launcher = os.getppid()

    def look() -> None:
        while os.getppid() == launcher:
            time.sleep(HEARTBEAT_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=look, daemon=True, name="launcher").start()


class Heartbeat:
    """Touches the run's heartbeat file every few seconds, so that another host can see that the run lives."""

    def __init__(self, run: Run) -> None:
        self.path = run.heartbeat
        self._end = threading.Event()
        threading.Thread(target=self._beat, daemon=True, name="heartbeat").start()

    def stop(self) -> None:
        self._end.set()

    def _beat(self) -> None:
        while True:
            # A read-only or full disk is no reason to end: the process itself still shows that the run lives.
            with contextlib.suppress(OSError):
                self.path.touch()
            if self._end.wait(HEARTBEAT_SECONDS):
                return


def _largest_of_all_ranks(code: int) -> int:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return code
    device = torch.device("cuda") if torch.distributed.get_backend() == "nccl" else torch.device("cpu")
    largest = torch.tensor(code, device=device)
    torch.distributed.all_reduce(largest, op=torch.distributed.ReduceOp.MAX)
    return int(largest)
