"""The answering process: `python -P -m core.chat.worker FD`. One model, one pipe, one answer at a time."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from core.chat.messages import (
    AdapterAdded,
    AddAdapter,
    Ask,
    Cancel,
    Done,
    Failure,
    Inspect,
    Load,
    Loaded,
    Request,
)
from core.errors import EXIT_FAILED, TunedeckError


class Requests:
    """Requests in order. A thread reads the pipe, so that a cancel is seen while the model computes."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._queue: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self.current = 0
        threading.Thread(target=self._read, daemon=True, name="pipe").start()

    def next(self) -> Request:
        request = self._queue.get()
        self.current = getattr(request, "number", 0)
        return request

    def is_cancelled(self) -> bool:
        """Whether the request in hand is no longer wanted."""
        return self.current in self._cancelled

    def _read(self) -> None:
        while True:
            try:
                request = self._pipe.recv()
            except (EOFError, OSError):
                os._exit(0)  # the app is gone: give the memory back at once
            if isinstance(request, Cancel):
                self._cancelled.add(request.number)
            else:
                self._queue.put(request)


def serve(pipe: Connection) -> None:
    """Handle requests until the other side hangs up, or the model cannot be loaded."""
    requests = Requests(pipe)
    speaker: Any = None
    while True:
        request = requests.next()
        number = requests.current
        try:
            if isinstance(request, Load):
                speaker = _load(request, requests, pipe)
            elif isinstance(request, Ask):
                pipe.send(Done(number, speaker.answer(request, pipe.send)))
            elif isinstance(request, Inspect):
                from core.chat.inspection import inspection

                pipe.send(inspection(speaker.loaded, request))
            elif isinstance(request, AddAdapter):
                from core.chat.load import add_adapter

                add_adapter(speaker.loaded, request.name, Path(request.folder))
                pipe.send(AdapterAdded(number, request.name, speaker.loaded.voices))
        except Exception as error:
            traceback.print_exc()
            what, code = _in_words(error, speaker)
            pipe.send(Failure(number, what, speaker is None, code))
            if speaker is None:
                return


def _in_words(error: Exception, speaker: Any) -> tuple[str, int]:
    """What went wrong, for a person, and the exit code of a command."""
    from core.chat.load import lacks_memory, out_of_memory

    if not isinstance(error, TunedeckError) and lacks_memory(error):
        error = out_of_memory(error, speaker.loaded.device if speaker is not None else "cpu")
    if isinstance(error, TunedeckError):
        return str(error), error.exit_code
    return f"{type(error).__name__}: {error}", EXIT_FAILED


def _load(request: Load, requests: Requests, pipe: Connection) -> Any:
    began = time.perf_counter()
    from core.chat.load import load
    from core.chat.speaker import Speaker

    loaded = load(request.subject)
    speaker = Speaker(loaded, requests.is_cancelled)
    tokenizer = loaded.tokenizer
    has_template = bool(getattr(tokenizer, "chat_template", None))
    notes = request.subject.notes
    if not has_template:
        notes += ("no chat template: the model completes plain text",)
    pipe.send(
        Loaded(
            label=request.subject.label,
            voices=loaded.voices,
            device=loaded.device,
            dtype=str(loaded.plain_model.dtype).removeprefix("torch."),
            memory_bytes=loaded.memory_bytes,
            context_length=loaded.context_length,
            has_template=has_template,
            stop_tokens=tuple((id, str(tokenizer.convert_ids_to_tokens(id))) for id in loaded.stop_ids),
            decoding=speaker.default_decoding(),
            seconds=time.perf_counter() - began,
            notes=notes,
        )
    )
    return speaker


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C in the terminal is the app's to interpret
    serve(Connection(int(sys.argv[1])))
