"""The app's side of a chat: starts the worker, asks, and reads what comes back. Imports no torch.

worker = ChatWorker(subject)
number = worker.ask([{"role": "user", "content": "Hi"}], who="tuned")
for message in worker.poll(): ...        # Loaded, Started, Piece, Done, Failure; never waits
worker.cancel()                          # stops the answer in hand, also while it reads the prompt
worker.close()
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from core.chat.messages import (
    TUNED,
    AdapterAdded,
    AddAdapter,
    Answer,
    Ask,
    Cancel,
    Done,
    Failure,
    Inspect,
    Inspection,
    Load,
    Loaded,
    Reply,
    Request,
)
from core.chat.sampling import Sampling
from core.chat.subject import Subject
from core.errors import EXIT_FAILED, TunedeckError
from core.workspace import state_folder

LOAD = 0  # the number that Loaded and a failure to load answer to


class ChatWorker:
    """One worker process and its pipe. Not thread-safe: use it from one thread, poll it from the same.

    The process starts with the first request. If it dies (killed, out of memory), open requests
    end with a Failure and the next request starts a fresh one; the conversation lives with the caller.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.loaded: Loaded | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None
        self._last_number = LOAD
        self._open: list[int] = []
        self.refused: dict[str, str] = {}  # adapters that could not be loaded, and why
        self._adapters: list[AddAdapter] = []

    @property
    def pid(self) -> int | None:
        """Process id of the worker, None if none runs."""
        return self._process.pid if self._process is not None else None

    @property
    def busy(self) -> bool:
        """Whether a request is open."""
        return bool(self._open)

    def start(self) -> None:
        """Start the process and load the model, if that has not been done."""
        if self._pipe is not None:
            return
        self.loaded = None
        ours, theirs = socket.socketpair()
        with theirs, _log() as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "core.chat.worker", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
            )
        self._pipe = Connection(ours.detach())
        self._open.append(LOAD)
        self._send(Load(self.subject))
        for adapter in self._adapters:
            self._send(adapter)

    def ask(
        self,
        messages: Sequence[dict[str, Any]] = (),
        who: str = "",
        sampling: Sampling | None = None,
        *,
        text: str = "",
        tools: Sequence[Any] = (),
    ) -> int:
        """Queue a question: `messages`, or `text` to go on with. Returns its number; `poll` brings the answer.

        `who` is "base", "tuned" or the name of an added adapter; empty asks the model as it was named.
        """
        self.start()
        number = self._next()
        self._send(Ask(number, who, tuple(messages), text, tuple(tools), sampling or Sampling()))
        return number

    def inspect(self, answer: Answer, alternatives: int = 5) -> int:
        """Queue the question how likely each token of an answer was. `poll` brings an Inspection."""
        self.start()
        number = self._next()
        self._send(Inspect(number, answer.who, answer.prompt_ids, answer.ids, alternatives))
        return number

    def add_adapter(self, name: str, folder: Path) -> int:
        """Load one more adapter of the same base; it answers as `who=name`."""
        self.start()
        number = self._next()
        self.refused.pop(name, None)
        self._adapters.append(AddAdapter(number, name, str(folder)))
        self._send(self._adapters[-1])
        return number

    @property
    def adapter_folders(self) -> tuple[Path, ...]:
        """Adapters that joined the subject's own."""
        return tuple(Path(adapter.folder) for adapter in self._adapters)

    def adapter_name(self, folder: Path) -> str | None:
        """The voice under which an adapter folder is loaded or asked for here; None if it is not."""
        if self.subject.adapter is not None and folder.resolve() == self.subject.adapter.resolve():
            return TUNED
        return next((a.name for a in self._adapters if Path(a.folder).resolve() == folder.resolve()), None)

    def cancel(self, number: int | None = None) -> None:
        """Stop one request, or all that are open. An answer ends with Done and stop "cancelled"."""
        for open_number in [number] if number is not None else list(self._open):
            if open_number != LOAD:
                self._send(Cancel(open_number))

    def poll(self, timeout_seconds: float = 0.0) -> list[Reply]:
        """Every message that has arrived; waits up to the timeout for the first one."""
        messages: list[Reply] = []
        if self._pipe is None:
            return messages
        ended = False
        try:
            while self._pipe.poll(0 if messages else timeout_seconds):
                messages.append(self._pipe.recv())
        except (EOFError, OSError):
            ended = True
        for message in messages:
            self._note(message)
        not_loaded = next((m for m in messages if isinstance(m, Failure) and m.number == LOAD), None)
        if not_loaded is not None:
            messages += self._gone(not_loaded.what, not_loaded.exit_code)
        elif ended:
            messages += self._died()
        return messages

    def answers(self, number: int) -> Iterator[Reply]:
        """Messages of one request as they arrive, up to its end. Blocks; for commands, not for the screen.

        Raises TunedeckError if it fails.
        """
        while True:
            for message in self.poll(timeout_seconds=0.5):
                if isinstance(message, Failure) and message.number in (number, LOAD):
                    raise TunedeckError(message.what, exit_code=message.exit_code)
                yield message
                if isinstance(message, (Done, Inspection)) and message.number == number:
                    return

    def wait(self, number: int) -> Answer:
        """Block until the answer is complete. Raises TunedeckError if it fails."""
        for message in self.answers(number):
            if isinstance(message, Done) and message.number == number:
                return message.answer
        raise AssertionError("answers() ends with Done or raises")

    def close(self) -> None:
        """End the worker and give its memory back."""
        process, pipe = self._process, self._pipe
        self._process = self._pipe = self.loaded = None
        self._open.clear()
        if pipe is not None:
            pipe.close()  # the worker sees the end of its pipe and leaves at once
        if process is not None:
            try:
                process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def __enter__(self) -> ChatWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next(self) -> int:
        self._last_number += 1
        self._open.append(self._last_number)
        return self._last_number

    def _send(self, request: Request) -> None:
        if self._pipe is None:
            return
        with contextlib.suppress(OSError):  # a worker that just died is reported by the next poll
            self._pipe.send(request)

    def _note(self, message: Reply) -> None:
        if isinstance(message, Loaded):
            self.loaded = message
            self._close_request(LOAD)
        elif isinstance(message, AdapterAdded) and self.loaded is not None:
            self.loaded = replace(self.loaded, voices=message.voices)
            self._close_request(message.number)
        elif isinstance(message, (Done, Inspection, Failure)):
            self._forget_adapter(message)
            self._close_request(message.number)

    def _forget_adapter(self, message: Reply) -> None:
        """An adapter that does not fit is not asked for again when the process starts anew."""
        if isinstance(message, Failure) and not message.fatal:
            for adapter in self._adapters:
                if adapter.number == message.number:
                    self.refused[adapter.name] = message.what
            self._adapters = [a for a in self._adapters if a.number != message.number]

    def _close_request(self, number: int) -> None:
        if number in self._open:
            self._open.remove(number)

    def _died(self) -> list[Reply]:
        process = self._process
        code = process.wait() if process is not None else None
        what = {
            -signal.SIGKILL: "out of memory or killed from outside",
            -signal.SIGABRT: "aborted, as libraries do when memory runs out",
        }.get(code or 0, f"exit code {code}")
        return self._gone(
            f"the chat process ended ({what}); the conversation is kept, ask again to start it anew"
        )

    def _gone(self, what: str, exit_code: int = EXIT_FAILED) -> list[Reply]:
        """Close, and tell every open request why."""
        open_requests = list(self._open)
        self.close()
        return [Failure(number, what, True, exit_code) for number in open_requests]


@contextlib.contextmanager
def _log() -> Iterator[Any]:
    """The worker's output goes to a file: nothing may write on the terminal the app draws on."""
    path = state_folder() / "chat.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        yield subprocess.DEVNULL
        return
    try:
        yield handle
    finally:
        os.close(handle)
