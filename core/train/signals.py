"""What signals mean to a trainer.

SIGHUP (the terminal is gone) means nothing. SIGTERM (the machine is about to be taken away) and the first
SIGINT mean: checkpoint and end. A second SIGINT ends at once.
"""

from __future__ import annotations

import signal
from types import FrameType


class StopSignals:
    """Installs the handlers; `received` names the signal that asked to stop, empty while none did."""

    def __init__(self) -> None:
        self.received = ""

    def install(self) -> None:
        """Only in the main thread, before anything slow, so that no signal finds Python's defaults."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self.received = signal.Signals(number).name
        if number == signal.SIGINT:
            # The kernel carries out the second one, even if Python is deep inside a library call by then.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
