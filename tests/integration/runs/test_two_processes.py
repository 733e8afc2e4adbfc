"""Two processes train what one does, speak with one voice, and obey together."""

from __future__ import annotations

import os
import signal

import pytest

from core.runs.control import kill
from core.runs.events import read_events
from core.runs.identity import process_from_json
from core.runs.launch import launch
from core.runs.record import Record
from tests.integration.runs.conftest import MakeRun, train, wait_for

DDP = ("launch.strategy=ddp", "launch.processes=2")
pytestmark = pytest.mark.slow


def test_two_processes_give_the_loss_of_one(make_run: MakeRun) -> None:
    one = make_run("training.micro_batch=4", "tuner.dropout=0.0", "training.save_steps=3", name="one")
    two = make_run("training.micro_batch=2", "tuner.dropout=0.0", "training.save_steps=3", *DDP, name="two")
    curves = []
    for run in (one, two):
        assert train(run, 120).state == "done", run.log.read_text()[-3000:]
        record = Record()
        record.add(read_events(run.folder)[0])
        curves.append(record.curves["loss"])
    assert list(curves[1].steps) == list(range(1, 7))  # one voice
    assert list(curves[1].values) == pytest.approx(list(curves[0].values), abs=2e-4)
    steps = [event for event in read_events(two.folder)[0] if event["kind"] == "step"]
    assert steps[-1]["trained_tokens"] == pytest.approx(
        [event for event in read_events(one.folder)[0] if event["kind"] == "step"][-1]["trained_tokens"]
    )


def test_two_processes_stop_together_and_die_together(make_run: MakeRun) -> None:
    run = make_run("training.max_steps=100000", *DDP)
    launch(run)
    wait_for(run, lambda state: state.step > 2, 90)
    process = process_from_json(run.read_json(run.identity)["process"])
    assert process is not None
    os.kill(process.pid, signal.SIGTERM)
    state = wait_for(run, lambda state: state.ended, 40)
    assert (state.state, state.what) == ("stopped", "SIGTERM")
    assert state.checkpoint_step == state.step

    launch(run, resume=True)
    step = state.step
    wait_for(run, lambda state: state.step > step, 90)
    import psutil

    process = process_from_json(run.read_json(run.identity)["process"])
    assert process is not None
    ranks = psutil.Process(process.pid).children(recursive=True)
    assert kill(run)
    assert wait_for(run, lambda state: state.ended).state == "lost"
    _, alive = psutil.wait_procs(ranks, timeout=10)
    assert alive == []
