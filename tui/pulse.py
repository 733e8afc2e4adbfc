"""What the header shows of the world outside the app: devices and the newest run, read in a thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from textual.message import Message

from core.workspace import Workspace
from tui.widgets.bars import Part

if TYPE_CHECKING:
    from textual.app import App

# NVML calls take a lock that the training job needs too: two seconds is what monitors settle on.
READ_SECONDS = 2.0


class Pulsed(Message):
    """The header's right side, ready to draw."""

    def __init__(self, device: Part = Part(""), run: Part = Part("")) -> None:  # noqa: B008 (a constant)
        super().__init__()
        self.device = device
        self.run = run

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Pulsed)


class Pulse:
    """A thread that reads every two seconds and posts `Pulsed`. Nothing it meets may end the app."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._stop = threading.Event()

    def start(self, app: App[None]) -> None:
        threading.Thread(target=self._read, args=(app,), daemon=True, name="pulse").start()

    def stop(self) -> None:
        self._stop.set()

    def _read(self, app: App[None]) -> None:
        while not self._stop.is_set():
            app.post_message(Pulsed())
            self._stop.wait(READ_SECONDS)
