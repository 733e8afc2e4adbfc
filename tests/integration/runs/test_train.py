"""A real, tiny training run in its own detached process."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from core.runs.events import read_events
from core.runs.folder import Run
from core.runs.state import RunState, read_state
from tests.integration.runs.conftest import MakeRun, train


def kinds(run: Run) -> list[str]:
    return [event["kind"] for event in read_events(run.folder)[0]]


def test_a_run_trains_to_its_end(make_run: MakeRun) -> None:
    run = make_run("training.eval_steps=3", "training.save_steps=3", eval_rows=6)
    state = train(run)
    assert (state.state, state.step, state.steps) == ("done", 6, 6)
    assert state.pid != os.getpid() and "core.train" in run.read_json(run.identity)["argv"]
    assert state.loss is not None and 4.0 < state.loss < 8.0  # random weights: about log(vocabulary)
    assert state.eval_loss is not None and state.best_eval_loss == state.eval_loss
    assert state.peak_allocated_bytes is None and (state.peak_rss_bytes or 0) > 100e6
    for noise in ("gemm_4bit", "is deprecated", "Loading weights"):
        assert noise not in run.log.read_text()
    events, _ = read_events(run.folder)
    assert [event["step"] for event in events if event["kind"] == "step"] == [1, 2, 3, 4, 5, 6]
    assert [event["step"] for event in events if event["kind"] == "checkpoint"] == [3, 6]
    assert [event["step"] for event in events if event["kind"] == "eval"] == [3, 6]
    environment = next(event for event in events if event["kind"] == "environment")
    assert environment["device"] == "cpu" and environment["trainable_dtypes"] == {
        "float32": environment["trainable"]
    }
    files = {file.name for file in run.adapter.iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json"} <= files
    assert "chat_template.jinja" in files and "training_args.bin" not in files
    summary = json.loads(run.summary.read_text())
    assert summary["state"] == "done"
    assert set(summary["phases"]) == {"load", "forward", "backward", "optimizer", "evaluation", "checkpoint"}
    resident = [phase["peak_rss_bytes"] for phase in summary["phases"].values()]
    assert all(value > 100e6 for value in resident) and max(resident) <= summary["peak_rss_bytes"]
    assert all(phase["peak_allocated_bytes"] is None for phase in summary["phases"].values())
    assert events[-1]["phases"] == summary["phases"]
    assert sorted(folder.name for folder in run.checkpoints.glob("checkpoint-*")) == [
        "checkpoint-3",
        "checkpoint-6",
    ]


def test_a_folder_named_core_in_the_workspace_does_not_matter(make_run: MakeRun) -> None:
    run = make_run("training.max_steps=1")
    for folder in (run.folder, run.folder.parent.parent):
        (folder / "core").mkdir()
        (folder / "core" / "__init__.py").write_text("raise RuntimeError('the wrong core')")
    assert train(run).state == "done"


def fail_here(run: Run) -> RunState:
    """Train in this very process: quicker, for runs that end before their first step."""
    from core.train.session import train as train_here
    from core.train.signals import StopSignals

    assert train_here(run, resume=False, signals=StopSignals(lambda name: None)) == 1
    return read_state(run.folder)


def test_a_failure_is_an_event_with_cause_and_fix(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = fail_here(make_run('tuner.targets=["no_such_layer"]'))
    assert state.state == "failed"
    assert "named target layers are not in this model" in state.what
    assert "tunedeck models targets" in state.fix
    assert "Traceback" in capsys.readouterr().err  # into the log of a real trainer

    run = make_run()
    (run.data / "train").rename(tmp_path / "gone")
    state = fail_here(run)
    assert state.state == "failed" and "prepared data cannot be read" in state.what


def test_a_stop_while_loading_ends_before_the_first_step(make_run: MakeRun) -> None:
    from core.train.session import train as train_here
    from core.train.signals import StopSignals

    run = make_run()
    signals = StopSignals(lambda name: None)
    signals.received = "SIGTERM"
    assert train_here(run, resume=False, signals=signals) == 0
    state = read_state(run.folder)
    assert (state.state, state.what, state.step) == ("stopped", "SIGTERM", 0)
    assert not run.adapter.exists()


def test_a_watch_rule_may_end_the_run(make_run: MakeRun) -> None:
    from core.train.session import train as train_here
    from core.train.signals import StopSignals

    run = make_run("training.max_steps=400", "training.learning_rate=1e-9", 'training.stop_on=["loss flat"]')
    assert train_here(run, resume=False, signals=StopSignals(lambda name: None)) == 0
    state = read_state(run.folder)
    assert state.state == "stopped" and "loss flat" in state.what
    assert 60 <= state.step < 80 and state.checkpoint_step == state.step
    assert (run.adapter / "adapter_model.safetensors").exists()
