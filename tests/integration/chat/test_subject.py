"""What a person may name in a chat, and what is said when it is not there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from core.chat.subject import base_of, subject
from core.errors import MissingError, UsageError
from core.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


@pytest.fixture
def run(workspace: Workspace, tiny_model: Path, tiny_adapter: Path) -> Path:
    """A run folder with two sealed checkpoints, an unsealed one, and no final result yet."""
    folder = workspace.runs / "20261120-101010-yoda"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "recipe.toml").write_text(
        f'[model]\nsource = "{tiny_model}"\ndtype = "float32"\n[chat]\nsystem = "Be short."\n'
    )
    (folder / "run.json").write_text(json.dumps({"model": {"folder": str(tiny_model)}}))
    for step, loss in ((5, 1.0), (10, 2.0), (15, None)):
        checkpoint = folder / "checkpoints" / f"checkpoint-{step}"
        shutil.copytree(tiny_adapter, checkpoint)
        if loss is not None:
            (checkpoint / "tunedeck.json").write_text(
                json.dumps({"step": step, "bytes": 1, "eval_loss": loss})
            )
    return folder


def test_a_run_that_goes_on_answers_with_its_newest_checkpoint(
    run: Path, workspace: Workspace, tiny_model: Path
) -> None:
    found = subject("20261120", workspace)
    assert found.adapter == run / "checkpoints" / "checkpoint-10"
    assert found.model_folder == tiny_model
    assert found.template_folder == found.adapter
    assert (found.dtype, found.system, found.run) == ("float32", "Be short.", run)
    assert found.notes == ("the run has saved no final result yet; this is checkpoint-10",)


def test_checkpoints_by_name_latest_and_best(run: Path, workspace: Workspace, tiny_adapter: Path) -> None:
    assert subject("last:best", workspace).label == "20261120-101010-yoda:checkpoint-5"
    assert subject("last:latest", workspace).label.endswith("checkpoint-10")
    assert subject("last:checkpoint-5", workspace).notes == ()
    assert subject(str(run / "checkpoints" / "checkpoint-5"), workspace).label.endswith(":checkpoint-5")
    with pytest.raises(MissingError, match="no checkpoint-7 in this run(.|\n)*checkpoint-5, checkpoint-10"):
        subject("last:checkpoint-7", workspace)

    shutil.copytree(tiny_adapter, run / "adapter")
    done = subject("last", workspace)
    assert (done.adapter, done.label, done.notes) == (run / "adapter", run.name, ())
    assert base_of(done).adapter is None and base_of(done).template_folder == run / "adapter"


def test_a_run_of_all_weights(run: Path, workspace: Workspace, tiny_model: Path) -> None:
    shutil.copytree(tiny_model, run / "model")
    found = subject("last", workspace)
    assert (found.adapter, found.model_folder, found.base_folder) == (None, run / "model", tiny_model)
    assert base_of(found).model_folder == tiny_model


def test_folders(workspace: Workspace, tiny_model: Path, tiny_adapter: Path) -> None:
    assert subject(str(tiny_model), workspace).model_folder == tiny_model
    loose = subject(str(tiny_adapter), workspace)
    assert (loose.adapter, loose.model_folder) == (tiny_adapter, tiny_model)
    assert subject("demo", workspace).model_folder.name == "model"


def test_what_is_not_there_is_said(workspace: Workspace, tmp_path: Path, run: Path) -> None:
    with pytest.raises(UsageError, match="no run nothing"):
        subject("nothing", workspace)
    with pytest.raises(MissingError, match="tunedeck models get"):
        subject("someone/some-model", workspace)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="neither a run, an adapter nor a model"):
        subject("empty", workspace)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(UsageError, match="a file, not a model"):
        subject(str(tmp_path / "notes.txt"), workspace)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "adapter_config.json").write_text("{}")
    with pytest.raises(UsageError, match="does not say which base"):
        subject("odd", workspace)
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(MissingError, match="the run has saved nothing yet"):
        subject("last", workspace)
