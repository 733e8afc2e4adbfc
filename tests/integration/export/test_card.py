"""The card of an export tells what the run's own files tell: data, losses, evaluation, recipe."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from core.chat.subject import subject
from core.export.adapter import export_adapter
from core.workspace import Workspace

DIGEST = "9f2c1a7be4d05533"


@pytest.fixture
def workspace(tmp_path: Path, tiny_model: Path, tiny_adapter: Path) -> Workspace:
    """A run that is done, with one evaluation."""
    folder = tmp_path / "runs" / "20261120-101010-yoda"
    folder.mkdir(parents=True)
    shutil.copytree(tiny_adapter, folder / "adapter")
    (folder / "recipe.toml").write_text(f'[model]\nsource = "{tiny_model}"\ndtype = "float32"\n')
    identity = {
        "model": {"folder": str(tiny_model), "revision": "abc123"},
        "data": {"digest": DIGEST, "rows": 500, "trained_tokens": 4321},
        "versions": {"torch": "2.13.0"},
        "seed": 42,
    }
    (folder / "run.json").write_text(json.dumps(identity))
    summary = {"state": "done", "step": 40, "first_loss": 3.2, "loss": 0.41, "eval_loss": 0.52}
    (folder / "summary.json").write_text(json.dumps(summary))
    report = {
        "data": "the held-out rows",
        "models": {
            "tuned": {"loss": 0.5, "exact_match": 0.75, "chrf": 0.9, "general": {"right": 0.5}},
            "base": {"loss": 2.0, "exact_match": 0.25, "chrf": 0.4, "general": {"right": 0.6}},
        },
        "differences": {"base": {"loss": {"mean": -1.5, "low": -1.7, "high": -1.3, "clear": True}}},
    }
    (folder / "evaluations" / "held-1").mkdir(parents=True)
    (folder / "evaluations" / "held-1" / "report.json").write_text(json.dumps(report))
    return Workspace(tmp_path)


def test_the_card_is_filled_from_the_run(workspace: Workspace, tmp_path: Path) -> None:
    done = export_adapter(subject("last", workspace), tmp_path / "out")
    lines = (done.folder / "README.md").read_text().splitlines()
    for line in (
        f"| data digest | {DIGEST} |",
        "| rows | 500 |",
        "| trained tokens | 4321 |",
        "| base revision | abc123 |",
        "| steps | 40 |",
        "| first loss | 3.2 |",
        "| last loss | 0.41 |",
        "| evaluation loss | 0.52 |",
        "| versions | torch 2.13.0 |",
        "## Evaluation on the held-out rows",
        "| | tuned | base |",
        "| loss | 0.5 | 2 |",
        "| exact_match | 0.75 | 0.25 |",
        "| chrf | 0.9 | 0.4 |",
        "| general prompts right | 0.5 | 0.6 |",
        "Loss less base: -1.5 (95 % interval -1.7 to -1.3).",
        'dtype = "float32"',
        "library_name: peft",
    ):
        assert line in lines, line
