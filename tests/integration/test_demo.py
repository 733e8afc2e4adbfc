"""The demo end to end, as a person runs it without a terminal: real trainer, real adapter, real scores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.chat.load import load
from core.chat.messages import Ask
from core.chat.questions import questions, read_rows
from core.chat.sampling import GREEDY
from core.chat.speaker import Speaker
from core.chat.subject import base_of, of_run
from core.demo import paths
from core.demo.headless import Finished
from core.demo.score import Request, Scores, exact, read_requests
from core.export.gguf import export_gguf
from core.export.merge import merge
from core.runs.folder import Run
from core.runs.state import read_state
from core.workspace import Workspace

pytestmark = pytest.mark.xdist_group("demo")  # its fixture is dear: made once, in one worker

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
    table = {line.split()[0] for line in narration.splitlines() if line.startswith("  ") and line.split()}
    assert {"weights", "adapter", "gradients", "optimizer", "activations"} <= table
    assert "step 1/" in narration
    assert narration.count("  tuned  ") == 3
    assert "Traceback" not in narration
    assert "leaked" not in narration
    assert set(finished) == {"scores", "run", "seconds", "loss", "narration"}


@pytest.mark.slow
def test_its_run_chats_merges_and_exports(finished: dict[str, object], tmp_path: Path) -> None:
    """Base repeats, tuned speaks Yoda, the adapter off is the base token for token; merged and GGUF say the same."""
    run = Run(Path(str(finished["run"])))
    chosen = of_run(run, Workspace(run.folder.parent.parent))
    tuned = Speaker(load(chosen, device="cpu"), lambda: False)
    base = Speaker(load(base_of(chosen), device="cpu"), lambda: False)
    rows = list(zip(read_requests(paths.HELD_OUT), read_requests(paths.REPEAT_HELD_OUT), strict=True))[:8]
    asked = questions(read_rows(run.folder / "data" / "eval"))
    yoda = plain = 0
    for (request, repeat), question in zip(rows, asked, strict=False):
        turns = tuple(request.prompt)
        on = tuned.answer(Ask(1, "tuned", turns, sampling=GREEDY), lambda _: None)
        off = tuned.answer(Ask(2, "base", turns, sampling=GREEDY), lambda _: None)
        alone = base.answer(Ask(3, "base", turns, sampling=GREEDY), lambda _: None)
        assert off.ids == alone.ids
        assert on.proof.active and not off.proof.active and off.proof.first_step == alone.proof.first_step
        assert on.prompt_ids == question.prompt_ids
        yoda += on.text == request.answer
        plain += off.text == repeat.answer
    assert yoda >= 6 and plain >= 6

    merged = merge(chosen, tmp_path / "merged")
    assert merged.checks[0].max_difference < 1e-3 and merged.checks[0].same_choice == 1.0
    file = export_gguf(chosen, tmp_path / "yoda.gguf", out_type="f32")
    assert file.checks[0].max_difference < 1e-3 and file.notes == ()


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
