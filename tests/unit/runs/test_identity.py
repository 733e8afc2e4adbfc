"""A process is recognised by number, start, boot and host; nothing less."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import TunedeckError
from core.runs import identity
from core.runs.control import kill, read_requests, request
from core.runs.folder import Run, new_run
from core.runs.identity import is_alive, process_from_json, process_with, this_process
from core.runs.state import read_state
from core.workspace import Workspace, write_json_atomically


def test_this_process_is_alive_and_survives_json() -> None:
    here = this_process()
    assert here.pid == os.getpid() and is_alive(here)
    assert process_from_json(here.to_json()) == here
    assert process_from_json({"pid": 1}) is None and process_from_json(None) is None


def test_another_process_with_the_same_number_is_not_it() -> None:
    assert not is_alive(replace(this_process(), started="1"))
    assert not is_alive(replace(this_process(), boot="another boot"))


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    until = time.monotonic() + 10
    while process_with(child.pid) is not None and time.monotonic() < until:
        time.sleep(0.02)
    assert process_with(child.pid) is None  # ended, but not yet waited for
    child.wait()


def test_a_changed_clock_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    here = this_process()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert is_alive(here)


def run_named(workspace: Workspace, process: identity.Process | None) -> Run:
    run = new_run(workspace, "x")
    write_json_atomically(run.identity, {"process": process.to_json() if process else None})
    run.recipe.write_text("")
    return run


def test_a_run_whose_number_was_given_to_another_process_is_lost(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert read_state(run_named(workspace, this_process()).folder).state == "starting"
    reused = replace(this_process(), started="12345")
    state = read_state(run_named(workspace, reused).folder)
    assert state.state == "lost" and "tunedeck resume" in state.fix


def test_on_another_host_the_heartbeat_decides(tmp_path: Path) -> None:
    run = run_named(Workspace(tmp_path), replace(this_process(), host="elsewhere"))
    assert read_state(run.folder).state == "lost"
    run.heartbeat.touch()
    assert read_state(run.folder).state == "starting"
    os.utime(run.heartbeat, (time.time() - 600, time.time() - 600))
    assert read_state(run.folder).state == "lost"


def test_on_another_host_a_run_is_asked_and_never_killed(tmp_path: Path) -> None:
    """The app was started elsewhere, on the same file system."""
    run = run_named(Workspace(tmp_path), replace(this_process(), host="elsewhere"))
    run.heartbeat.touch()
    asked = request(run, "stop-and-save")
    assert [entry.id for entry in read_requests(run)] == [asked.id]
    with pytest.raises(TunedeckError, match="runs on elsewhere, not here"):
        kill(run)
    assert read_state(run.folder).state == "starting"
