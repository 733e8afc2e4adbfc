"""The `trl sft` configuration trains what the run trained, by TRL's own command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.demo import paths
from core.errors import UsageError
from core.export.trl_yaml import NAME, write_trl_folder
from core.models.architecture_of import read_model
from core.recipe import read_recipe
from core.runs.folder import Run
from core.runs.follow import follow
from core.runs.start import create, start
from core.train.tuner import adapter_config
from core.workspace import Workspace

CPU = ('launch.devices="cpu"', "training.max_steps=3", "training.logging_steps=1")


def made(tmp_path: Path, *changes: str) -> Run:
    return create(Workspace(tmp_path), read_recipe(paths.RECIPE, [*CPU, *changes]), name="trl")


@pytest.mark.slow
def test_trl_sft_gives_the_losses_of_the_run(tmp_path: Path) -> None:
    """On full training: `trl sft` draws a new adapter before it sets the seed, so adapters start differently."""
    recipe = read_recipe(paths.RECIPE, [*CPU, "tuner.method=full"])
    run = start(Workspace(tmp_path), recipe, name="short")
    for _ in follow(run):
        pass
    events = [json.loads(line) for line in run.events.read_text().splitlines()]
    losses = [event["loss"] for event in events if event["kind"] == "step"]
    folder = tmp_path / "elsewhere"
    write_trl_folder(run, folder, on_cpu=True)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["HF_DATASETS_CACHE"] = str(tmp_path / "cache")
    ran = subprocess.run(
        [sys.executable, "-m", "trl.scripts.sft", "--config", NAME, "--logging_steps", "1"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    state = json.loads(next(folder.glob("output/checkpoint-*/trainer_state.json")).read_text())
    theirs = [entry["loss"] for entry in state["log_history"] if "loss" in entry]
    assert theirs == pytest.approx(losses, rel=1e-4)
    assert (folder / "output" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    "changes",
    [
        (),
        ("tuner.method=rslora", "tuner.targets=re:.*q_proj", "tuner.alpha=8"),
        ("tuner.method=dora", 'tuner.targets=["q_proj","v_proj"]', 'tuner.modules_to_save=["norm"]'),
    ],
)
def test_trls_own_parser_reads_the_same_adapter_and_arguments(
    tmp_path: Path, changes: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl import get_peft_config
    from trl.scripts.sft import make_parser

    run = made(tmp_path, *changes)
    write_trl_folder(run, tmp_path / "trl", on_cpu=True)
    monkeypatch.chdir(tmp_path / "trl")
    script, training, model, _ = make_parser().parse_args_and_config(["--config", NAME])
    theirs, ours = get_peft_config(model), adapter_config(run.read_recipe(), read_model(paths.MODEL))
    assert theirs is not None and ours is not None
    assert theirs.to_dict() == ours.to_dict()
    assert (model.model_name_or_path, model.dtype) == (str(paths.MODEL), run.read_recipe().model.dtype)
    assert training.max_steps == 3 and training.dataset_kwargs == {"skip_prepare_dataset": True}
    assert script.dataset_name == "data"
    assert {folder.name for folder in (tmp_path / "trl" / "data").iterdir()} == {"train", "test"}


@pytest.mark.parametrize(
    "change",
    [
        "tuner.method=ia3",
        "training.prompt_loss_weight=0.1",
        "tuner.adapter_dtype=float32",
        'tuner.modules_to_save=["embed_tokens"]',
    ],
)
def test_what_trl_sft_cannot_do_is_refused(tmp_path: Path, change: str) -> None:
    with pytest.raises(UsageError, match=r"TRL|trl"):
        write_trl_folder(made(tmp_path, change), tmp_path / "trl", on_cpu=True)
    assert not (tmp_path / "trl").exists()
