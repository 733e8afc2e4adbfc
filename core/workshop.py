"""The workshop: a child process that does heavy work for a screen that must never wait.

The child imports tokenizers, transformers or torch when a job needs them; the app never does. A job is a
plain function named as text ("core.data.view:show_row") so that this module imports nothing of the rooms
above it. The function is called with the job's keyword arguments and `progress`, a callable it may call
with any picklable value.

    workshop = Workshop()
    job = workshop.submit("core.data.view:show_row", recipe=recipe, number=3)
    for message in workshop.poll(): ...        # Progress, Result or Failure, each with job.number
    workshop.cancel()                          # ends the process; the next submit starts a fresh one
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from core.errors import EXIT_FAILED, TunedeckError
from core.workspace import state_folder


@dataclass(frozen=True, slots=True)
class Progress:
    """A value the job reported while it works."""

    job: int
    value: Any


@dataclass(frozen=True, slots=True)
class Result:
    """What the job returned."""

    job: int
    value: Any


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the job ended without a result, in words for a person. The traceback is in the log."""

    job: int
    what: str
    exit_code: int = EXIT_FAILED


Message = Progress | Result | Failure


class Workshop:
    """Client side. Not thread-safe: use it from one thread, poll it from the same."""

    def __init__(self) -> None:
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None
        self._last_job = 0
        self._open_jobs: list[int] = []

    def submit(self, function: str, /, **arguments: Any) -> int:
        """Queue a job, starting the child if there is none. Returns the job's number."""
        if self._process is None or not self._process.is_alive():
            self._start()
        assert self._pipe is not None
        self._last_job += 1
        self._pipe.send((self._last_job, function, arguments))
        self._open_jobs.append(self._last_job)
        return self._last_job

    def poll(self, timeout_seconds: float = 0.0) -> list[Message]:
        """Every message that has arrived; waits up to the timeout for the first one."""
        messages: list[Message] = []
        if self._pipe is None:
            return messages
        try:
            while self._pipe.poll(0 if messages else timeout_seconds):
                messages.append(self._pipe.recv())
        except (EOFError, OSError):
            messages += self._died()
        for message in messages:
            if not isinstance(message, Progress) and message.job in self._open_jobs:
                self._open_jobs.remove(message.job)
        return messages

    def wait(self, job: int, on_progress: Callable[[Any], None] | None = None) -> Any:
        """Block until the job ends; its value, or TunedeckError. For commands, not for the screen."""
        while True:
            for message in self.poll(timeout_seconds=0.5):
                if isinstance(message, Progress) and message.job == job and on_progress is not None:
                    on_progress(message.value)
                if isinstance(message, Result) and message.job == job:
                    return message.value
                if isinstance(message, Failure) and message.job == job:
                    raise TunedeckError(message.what, exit_code=message.exit_code)

    def cancel(self) -> None:
        """End the child now; open jobs are forgotten. The next submit starts a fresh child."""
        self._open_jobs.clear()
        process, pipe = self._process, self._pipe
        self._process = self._pipe = None
        if pipe is not None:
            pipe.close()
        if process is not None and process.is_alive():
            process.terminate()
            process.join(timeout=2)
            if process.is_alive():
                process.kill()

    def close(self) -> None:
        """Let the child leave by itself, which takes it as long as a job in hand; end it after two seconds."""
        process, pipe = self._process, self._pipe
        if pipe is not None:
            self._pipe = None
            pipe.close()  # the child sees the end of its pipe
        if process is not None:
            process.join(timeout=2)
        self.cancel()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True, name="tunedeck-workshop")
        # multiprocessing hands on the number of sys.stderr; a screen puts an object there that has none.
        with contextlib.redirect_stderr(sys.__stderr__):
            self._process.start()
        theirs.close()

    def _died(self) -> list[Message]:
        if self._process is not None:
            self._process.join(timeout=1)  # its pipe breaks a moment before its exit code is known
        code = self._process.exitcode if self._process is not None else None
        lost = [
            Failure(job, f"the workshop process ended (exit code {code}); try again")
            for job in self._open_jobs
        ]
        self.cancel()
        return list(lost)


def _serve(pipe: Connection) -> None:
    """The child's loop. Nothing it prints may reach the terminal the app draws on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _send_output_to_log()
    os.environ.setdefault(
        "OMP_WAIT_POLICY", "PASSIVE"
    )  # the trainer may need the cores; read when torch loads
    while True:
        try:
            job, function, arguments = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            value = _named(function)(
                **arguments, progress=lambda value, job=job: pipe.send(Progress(job, value))
            )
            pipe.send(Result(job, value))
        except TunedeckError as error:
            pipe.send(Failure(job, str(error), error.exit_code))
        except Exception as error:
            traceback.print_exc()
            pipe.send(Failure(job, f"{type(error).__name__}: {error}"))


def _named(function: str) -> Any:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)


def _send_output_to_log() -> None:
    log = state_folder() / "workshop.log"
    with contextlib.suppress(OSError):
        log.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
