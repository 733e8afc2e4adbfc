"""The demo end to end, as a person runs it without a terminal: real trainer, real adapter, real scores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.demo import paths
from core.demo.headless import Finished
from core.demo.score import Request, Scores, exact, read_requests
from core.runs.folder import Run
from core.runs.state import read_state

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """One whole demo, from a folder whose own `core` must not get in the way."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "core").mkdir()
    (folder / "core" / "__init__.py").write_text("raise SystemExit('the wrong core was imported')\n")
    run = subprocess.run(
        [sys.executable, "-P", "-m", "tui.cli", "demo", "--headless", "--json"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "OMP_WAIT_POLICY": "passive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=540,
    )
    assert run.returncode == 0, run.stderr
    document: dict[str, object] = json.loads(run.stdout)
    return {**document, "narration": run.stderr}


@pytest.mark.slow
def test_the_tuned_model_speaks_yoda_and_the_base_does_not(finished: dict[str, object]) -> None:
    scores = finished["scores"]
    assert isinstance(scores, dict)
    assert scores["base_repeats"] >= 0.95
    assert scores["base_yoda"] == 0.0
    assert scores["tuned_yoda"] >= 0.90
    assert scores["adapter_off_repeats"] == scores["base_repeats"]


@pytest.mark.slow
def test_the_run_it_leaves_is_whole(finished: dict[str, object]) -> None:
    run = Run(Path(str(finished["run"])))
    state = read_state(run.folder)
    assert (state.state, state.model, state.data) == ("done", "demo", "demo/yoda.jsonl")
    assert state.step == state.steps
    assert (run.adapter / "adapter_model.safetensors").is_file()
    assert isinstance(finished["loss"], dict)
    assert finished["loss"]["last"] < 0.1 < finished["loss"]["first"]


@pytest.mark.slow
def test_it_says_what_it_does(finished: dict[str, object]) -> None:
    narration = str(finished["narration"])
    assert "token by token" in narration
    assert "Predicted memory" in narration
    assert "step 1/" in narration
    assert narration.count("  tuned  ") == 3
    assert "Traceback" not in narration
    assert "leaked" not in narration
    assert set(finished) == {"scores", "run", "seconds", "loss", "narration"}


def test_exact_is_letter_by_letter() -> None:
    requests = [Request([], "A cat, I see."), Request([], "Under the tree, Anna sits.")]
    assert exact(["A cat, I see.", "under the tree, Anna sits."], requests) == 0.5


def test_the_shape_of_the_result() -> None:
    outcome = Finished(Scores(0.99, 0.0, 0.95, 0.99), Path("/runs/x"), 1.234, 2.0, 4.0, 9.5, 0.04)
    assert outcome.to_json() == {
        "scores": {"base_repeats": 0.99, "base_yoda": 0.0, "tuned_yoda": 0.95, "adapter_off_repeats": 0.99},
        "run": "/runs/x",
        "seconds": {"prepare": 1.23, "train": 2.0, "total": 4.0},
        "loss": {"first": 9.5, "last": 0.04},
    }


def test_there_are_enough_held_out_requests() -> None:
    assert len(read_requests(paths.HELD_OUT)) == len(read_requests(paths.REPEAT_HELD_OUT)) == 100
