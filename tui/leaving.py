"""Leaving the terminal as it was found when the link or the machine goes away."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.app import App

TERMINAL_CHECK_SECONDS = 5.0


def leave_on_signals(app: App[None]) -> None:
    """End the app with 128 + the signal. Call it once the app's driver is at work."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGHUP, signal.SIGTERM):
        loop.add_signal_handler(number, partial(app.exit, return_code=128 + number))
    _continue_only_on_a_terminal()


def leave_if_terminal_gone(app: App[None]) -> None:
    """A terminal that vanishes without a signal would otherwise be read for ever at full speed."""
    if not os.isatty(0):
        app.exit(return_code=128 + signal.SIGHUP)


def _continue_only_on_a_terminal() -> None:
    """The kernel sends SIGCONT after the SIGHUP of a lost terminal.

    Textual would then start its screen anew: a second thread that writes, which dies of the lost terminal and
    leaves a full queue, and the end of the app would wait for it for ever.
    """
    go_on = signal.getsignal(signal.SIGCONT)

    def continued(number: int, frame: FrameType | None) -> None:
        if callable(go_on) and os.isatty(0):
            go_on(number, frame)

    signal.signal(signal.SIGCONT, continued)
