"""A run outlives what starts it, obeys signals, and is found again whatever happened."""

from __future__ import annotations

import json
import os
import pty
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.runs.checkpoints import checkpoints
from core.runs.events import read_events
from core.runs.folder import Run
from core.runs.identity import process_from_json
from core.runs.launch import launch
from core.runs.record import Curve, Record
from core.runs.resume import resume
from tests.integration.runs.conftest import MakeRun, train, wait_for

LONG = ("training.max_steps=100000", "training.scheduler=constant", "training.warmup=0.0")


def pid_of(run: Run) -> int:
    process = process_from_json(run.read_json(run.identity)["process"])
    assert process is not None
    return process.pid


def loss_curve(run: Run) -> Curve:
    record = Record()
    record.add(read_events(run.folder)[0])
    return record.curves["loss"]


def test_it_outlives_launcher_and_terminal_and_obeys_sigterm(make_run: MakeRun) -> None:
    run = make_run(*LONG)
    code = f"""
import time
from pathlib import Path
from core.runs.folder import Run
from core.runs.launch import launch
launch(Run(Path({str(run.folder)!r})))
time.sleep(600)
"""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    launcher = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env=environment,
    )
    os.close(theirs)
    wait_for(run, lambda state: state.step > 0)
    assert launcher.poll() is None  # it is the kill that ends it
    launcher.kill()
    launcher.wait()
    os.close(ours)  # the terminal is gone
    os.kill(pid_of(run), signal.SIGHUP)
    step = wait_for(run, lambda state: state.step > 0).step
    state = wait_for(run, lambda state: state.step > step + 20)
    assert state.state == "running"
    os.kill(pid_of(run), signal.SIGTERM)
    state = wait_for(run, lambda state: state.ended, 20)
    assert (state.state, state.what) == ("stopped", "SIGTERM")
    assert state.checkpoint_step == state.step  # saved where it ended


@pytest.mark.slow
def test_a_killed_run_is_lost_and_resumes_on_the_same_curve(make_run: MakeRun) -> None:
    options = ("training.max_steps=12", "training.save_steps=4", "training.epochs=9.0")
    whole = make_run(*options, name="whole")
    assert train(whole).state == "done"

    broken = make_run(*options, name="broken")
    launch(broken)
    wait_for(broken, lambda state: state.checkpoint_step is not None)
    os.kill(pid_of(broken), signal.SIGKILL)
    state = wait_for(broken, lambda state: state.ended)
    if state.state == "done":
        pytest.fail("the run was faster than the kill")
    assert state.state == "lost" and "tunedeck resume" in state.fix
    # What a killed trainer leaves behind: half a checkpoint under a temporary name, and half a line.
    (broken.checkpoints / ".unfinished" / "checkpoint-99").mkdir(parents=True, exist_ok=True)
    with broken.events.open("a") as events:
        events.write('{"kind": "step", "step": 11, "lo')
    from_step = resume(broken)
    assert from_step in (4, 8)
    assert wait_for(broken, lambda state: state.ended).state == "done"
    assert not (broken.checkpoints / ".unfinished" / "checkpoint-99").exists()
    expected, joined = loss_curve(whole), loss_curve(broken)
    assert list(joined.steps) == list(range(1, 13))
    assert list(joined.values) == pytest.approx(list(expected.values), abs=1e-6)
    assert [checkpoint.step for checkpoint in checkpoints(broken)] == [8, 12]


def test_the_second_interrupt_ends_at_once(make_run: MakeRun) -> None:
    run = make_run(*LONG, "training.accumulation=5000", rows=10000)  # one step of half a minute
    launch(run)
    wait_for(run, lambda state: state.phase == "running")
    os.kill(pid_of(run), signal.SIGINT)
    wait_for(run, lambda state: state.phase == "stopping")
    os.kill(pid_of(run), signal.SIGINT)
    state = wait_for(run, lambda state: state.ended, 2)
    assert state.state == "stopped" and state.step == 0
    assert "before all was saved" in state.what


@pytest.mark.slow
def test_a_disk_that_refuses_events_does_not_end_the_run(make_run: MakeRun) -> None:
    """The limit on file size stands for a full disk; the events file has reached it from the start."""
    run = make_run("training.max_steps=3")
    limit = 2_000_000
    with run.events.open("a") as events:
        while events.tell() < limit - 300:
            events.write(json.dumps({"kind": "sample", "time": 0, "text": "x" * 180}) + "\n")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
    try:
        launch(run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    state = wait_for(run, lambda state: state.ended)
    assert state.state == "done"
    assert (run.adapter / "adapter_model.safetensors").exists()
    assert json.loads(run.summary.read_text())["step"] == 3


@pytest.mark.slow
def test_a_long_step_does_not_eat_up_the_grace_period(make_run: MakeRun) -> None:
    run = make_run(*LONG, "training.accumulation=5000", rows=10000)
    launch(run)
    wait_for(run, lambda state: state.phase == "running")
    os.kill(pid_of(run), signal.SIGTERM)
    state = wait_for(run, lambda state: state.ended, 12)
    assert (state.state, state.what, state.step) == ("stopped", "SIGTERM", 0)
