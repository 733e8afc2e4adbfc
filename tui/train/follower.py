"""The thread that reads one run's folder for the screen. It only reads; at most one message waits unread."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from textual.message import Message
from textual.message_pump import MessagePump

from core.runs.cost import price_per_hour
from core.runs.events import read_events
from core.runs.folder import Run
from core.runs.state import RunState, read_state

READ_SECONDS = 0.25
# Whether the trainer lives costs a look at its process; two seconds is soon enough.
STATE_SECONDS = 2.0


class Followed(Message, bubble=False):
    """What is new of a run. The receiver calls `follower.taken()` to get the next one."""

    def __init__(
        self, folder: Path, events: list[dict[str, Any]], state: RunState | None, price: float | None = None
    ) -> None:
        """`price` is in dollars an hour, None where it is not known."""
        super().__init__()
        self.price = price
        self.folder = folder
        self.events = events
        self.state = state


class Follower:
    """Follows the run in `folder` for `owner` until `stop`."""

    def __init__(self, owner: MessagePump, folder: Path) -> None:
        self.folder = folder
        self._owner = owner
        self._ended = False
        self._wake = threading.Event()
        self._taken = threading.Event()
        self._taken.set()
        threading.Thread(target=self._run, daemon=True, name="follower").start()

    def taken(self) -> None:
        self._taken.set()

    def stop(self) -> None:
        self._ended = True
        self._wake.set()
        self._taken.set()

    def _run(self) -> None:
        offset, next_state, price = 0, 0.0, price_per_hour(Run(self.folder))
        while not self._ended:
            events, offset = read_events(self.folder, offset)
            state = None
            if time.monotonic() >= next_state or any(event["kind"] in ("end", "status") for event in events):
                state = read_state(self.folder)
                next_state = time.monotonic() + STATE_SECONDS
            if events or state is not None:
                self._taken.wait()
                if self._ended:
                    return
                self._taken.clear()
                self._owner.post_message(Followed(self.folder, events, state, price))
            self._wake.wait(READ_SECONDS)
