"""The kernel sends SIGCONT after the SIGHUP of a lost terminal: nothing may be drawn anew then."""

from __future__ import annotations

import os
import signal

import pytest

from tui.leaving import _continue_only_on_a_terminal


@pytest.mark.parametrize("there", [True, False])
def test_the_screen_goes_on_only_where_there_is_a_terminal(
    monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    gone_on: list[int] = []
    before = signal.signal(signal.SIGCONT, lambda number, frame: gone_on.append(number))
    try:
        monkeypatch.setattr("tui.leaving.os.isatty", lambda number: there)
        _continue_only_on_a_terminal()
        os.kill(os.getpid(), signal.SIGCONT)
        assert gone_on == [signal.SIGCONT] * there
    finally:
        signal.signal(signal.SIGCONT, before)
