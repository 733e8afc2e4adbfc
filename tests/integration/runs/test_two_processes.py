"""Two processes train what one does, speak with one voice, and obey together."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.runs.control import kill
from core.runs.events import append_event, read_events
from core.runs.folder import Run
from core.runs.identity import process_from_json
from core.runs.launch import launch
from core.runs.record import Curve, Record
from tests.integration.runs.conftest import MakeRun, train, wait_for

DDP = ("launch.strategy=ddp", "launch.processes=2")
pytestmark = pytest.mark.slow


def curve_of(run: Run) -> Curve:
    record = Record()
    record.add(read_events(run.folder)[0])
    return record.curves["loss"]


def two_processes(strategy: str) -> tuple[str, ...]:
    return (f"launch.strategy={strategy}", "launch.processes=2", "training.micro_batch=2")


def test_two_processes_give_the_loss_of_one(make_run: MakeRun, make_trainer: Callable[..., Any]) -> None:
    same = ("tuner.dropout=0.0", "training.save_steps=3")
    one = make_trainer(*same, "training.micro_batch=4", name="one")
    one.train()
    one.save_model(str(one.run.adapter))
    whole = [entry["loss"] for entry in one.state.log_history if "loss" in entry]
    samples = ('training.sample_prompts=["Say it."]', "training.sample_steps=3")
    ddp = make_run(*same, *samples, *two_processes("ddp"), name="ddp")
    fsdp = make_run(*same, *samples, *two_processes("fsdp"), name="fsdp")
    for run in (ddp, fsdp):
        assert train(run, 240).state == "done", run.log.read_text()[-3000:]
        assert list(curve_of(run).steps) == list(range(1, 7))  # one voice
        assert list(curve_of(run).values) == pytest.approx(whole, abs=2e-4)
        events = read_events(run.folder)[0]
        steps = [event for event in events if event["kind"] == "step"]
        assert steps[-1]["trained_tokens"] == int(one.trained_tokens)
        assert [event["step"] for event in events if event["kind"] == "sample"] == [3, 6]
        assert [event["rule"] for event in events if event["kind"] == "warning"] == []

    # Sharded weights are saved whole, and a sharded run goes on where it was.
    assert_same_weights(fsdp.adapter, one.run.adapter)
    shutil.rmtree(fsdp.checkpoints / "checkpoint-6")
    append_event(fsdp.folder, "end", state="stopped", note="asked to stop", step=3)
    assert train(fsdp, 240, resume=True).state == "done", fsdp.log.read_text()[-3000:]
    assert "from the checkpoint at step 3" in fsdp.events.read_text()
    assert list(curve_of(fsdp).values) == pytest.approx(whole, abs=2e-4)


@pytest.mark.parametrize("strategy", ["zero1", "zero2", "zero3"])
def test_deepspeed_gives_the_loss_of_one(strategy: str, make_run: MakeRun) -> None:
    pytest.importorskip("deepspeed")
    one = make_run("tuner.dropout=0.0", "training.micro_batch=4", name="one")
    two = make_run("tuner.dropout=0.0", *two_processes(strategy), name=strategy)
    for run in (one, two):
        assert train(run, 240).state == "done", run.log.read_text()[-3000:]
    assert list(curve_of(two).values) == pytest.approx(list(curve_of(one).values), abs=2e-4)
    assert_same_weights(two.adapter, one.adapter)


def assert_same_weights(these: Path, those: Path) -> None:
    from safetensors.torch import load_file

    ours, theirs = (load_file(folder / "adapter_model.safetensors") for folder in (these, those))
    assert ours.keys() == theirs.keys()
    assert all(ours[name].allclose(theirs[name], atol=1e-5) for name in ours)


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
    state = wait_for(run, lambda state: state.ended)
    assert state.phase == "killed" and state.what.startswith("killed by ")
    _, alive = psutil.wait_procs(ranks, timeout=10)
    assert alive == []
