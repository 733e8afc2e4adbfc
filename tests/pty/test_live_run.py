"""A real run in a real terminal: started from the app, seen to learn, alive after the app has gone, found again."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from core.demo.paths import RECIPE
from core.runs import control
from core.runs.find import find_runs
from core.runs.folder import Run
from core.workspace import Workspace
from tests.pty.terminal import Terminal

pytestmark = pytest.mark.slow


def loss_shown(terminal: Terminal) -> float | None:
    found = re.search(r"loss {6}([\d.]+)", terminal.text)
    return float(found[1]) if found else None


@pytest.fixture
def workspace(tmp_path: Path):
    (tmp_path / "recipe.toml").write_text(
        RECIPE.read_text().replace("logging_steps = 5", "logging_steps = 1")
    )
    yield Workspace(tmp_path)
    for state in find_runs(Workspace(tmp_path)):
        control.kill(Run(state.folder))


def test_a_run_is_started_watched_left_and_found(workspace: Workspace) -> None:
    with Terminal(folder=workspace.root) as terminal:
        terminal.wait_for("q quit")
        terminal.press("4")
        terminal.wait_for("r start a run")
        terminal.press("r")
        terminal.wait_for("y start", 120)
        terminal.press("y")
        terminal.wait_until(lambda: loss_shown(terminal) is not None, 120, "a first loss")
        first = loss_shown(terminal)
        assert first is not None
        terminal.wait_until(lambda: (loss_shown(terminal) or first) < first / 2, 120, "half the loss")
        terminal.press("q")
        assert terminal.ended() == 0
    (state,) = find_runs(workspace)
    assert state.state == "running" and state.pid is not None
    os.kill(state.pid, 0)
    with Terminal(folder=workspace.root) as terminal:
        terminal.wait_for(f"running  {state.id}")
        terminal.press("s")
        terminal.wait_for("y stop-and-save")
        terminal.press("y")
        terminal.wait_for("■ stopped", 60)
        # The app itself may be killed at any time.
        os.kill(terminal.process.pid, signal.SIGKILL)
    (state,) = find_runs(workspace)
    assert state.state == "stopped" and state.checkpoint_step
