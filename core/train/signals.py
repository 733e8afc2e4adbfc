"""What signals mean to a trainer.

SIGHUP (the terminal is gone) means nothing. SIGTERM (the machine is about to be taken away) and the first
SIGINT mean: checkpoint and end. A second SIGINT ends at once.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType


class StopSignals:
    """Installs the handlers; `received` names the signal that asked to stop, empty while none did.

    `say` is called with that name at once, so that the run knows of it even if the process dies next.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.received = ""
        self._since = 0.0
        self._say = say

    def seconds_since(self) -> float:
        """How long ago the first signal came; 0 while none did."""
        return time.monotonic() - self._since if self.received else 0.0

    def install(self) -> None:
        """Only in the main thread, before anything slow, so that no signal finds Python's defaults."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            # The kernel carries out the second one, even if Python is deep inside a library call by then.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        if not self.received:
            self._since = time.monotonic()
            self.received = signal.Signals(number).name
            self._say(self.received)
