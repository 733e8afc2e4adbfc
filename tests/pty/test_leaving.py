"""The app starts and leaves a real terminal as it found it, however it is made to leave."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.pty.terminal import Terminal

ALTERNATE_OFF = b"\x1b[?1049l"
MOUSE_OFF = b"\x1b[?1003l"


def hang_ups_ignored() -> None:
    """As under nohup, and some supervisors."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def test_q_leaves_clean(tmp_path: Path) -> None:
    with Terminal(folder=tmp_path) as terminal:
        terminal.wait_for("q quit")
        terminal.press("q")
        assert terminal.ended() == 0
        assert ALTERNATE_OFF in terminal.sent and MOUSE_OFF in terminal.sent


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("before", [None, hang_ups_ignored], ids=["usual", "hang-ups ignored"])
def test_a_signal_ends_it_with_its_code_and_a_clean_terminal(tmp_path: Path, number: int, before) -> None:
    with Terminal(folder=tmp_path, before=before) as terminal:
        terminal.wait_for("q quit")
        os.kill(terminal.process.pid, number)
        assert terminal.ended() == 128 + number
        assert ALTERNATE_OFF in terminal.sent and MOUSE_OFF in terminal.sent


@pytest.mark.parametrize("before", [None, hang_ups_ignored], ids=["usual", "hang-ups ignored"])
def test_a_terminal_that_vanishes_leaves_no_process_behind(tmp_path: Path, before) -> None:
    with Terminal(folder=tmp_path, before=before) as terminal:
        terminal.wait_for("q quit")
        terminal.vanish()
        assert terminal.ended(seconds=30) == 128 + signal.SIGHUP


def test_an_empty_colour_setting_does_not_end_it(tmp_path: Path) -> None:
    with Terminal(folder=tmp_path, environment={"TEXTUAL_COLOR_SYSTEM": ""}) as terminal:
        terminal.wait_for("q quit")
        terminal.press("q")
        assert terminal.ended() == 0


@pytest.mark.parametrize("settings", [{"TERM": "linux"}, {"NO_COLOR": "1"}], ids=["16 colours", "no colour"])
def test_it_draws_with_few_colours_too(tmp_path: Path, settings: dict[str, str]) -> None:
    with Terminal(folder=tmp_path, environment=settings) as terminal:
        terminal.wait_for("q quit")


def test_without_a_terminal_it_says_what_to_do() -> None:
    import subprocess
    import sys

    ran = subprocess.run(
        [sys.executable, "-m", "tui.cli"], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[0] == "tunedeck: the app needs a terminal"
