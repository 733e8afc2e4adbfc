"""The plain script trains what the run trained: the losses are the same, and tunedeck is not imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.demo import paths
from core.export.script import plain_script
from core.recipe import read_recipe
from core.runs.follow import follow
from core.runs.start import create, start
from core.workspace import Workspace


@pytest.mark.slow
def test_the_script_gives_the_losses_of_the_run(tmp_path: Path) -> None:
    recipe = read_recipe(
        paths.RECIPE, ["training.max_steps=4", "training.logging_steps=1", 'launch.devices="cpu"']
    )
    run = start(Workspace(tmp_path), recipe, name="short")
    for _ in follow(run):
        pass
    events = [json.loads(line) for line in run.events.read_text().splitlines()]
    losses = [event["loss"] for event in events if event["kind"] == "step"]
    assert len(losses) == 4

    text = plain_script(run, on_cpu=True)
    assert "tunedeck" not in text.split('"""')[2]
    tail = "\nimport json, sys\nprint('LOSSES', json.dumps([e['loss'] for e in trainer.state.log_history if 'loss' in e]))\n"
    tail += "print('CORE', 'core' in sys.modules)\n"
    (tmp_path / "elsewhere").mkdir()
    script = tmp_path / "elsewhere" / "train.py"
    script.write_text(text + tail)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    ran = subprocess.run(
        [sys.executable, script.name], cwd=script.parent, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    printed = ran.stdout.splitlines()
    theirs = json.loads(next(line for line in printed if line.startswith("LOSSES")).removeprefix("LOSSES"))
    assert theirs == pytest.approx(losses, rel=1e-4)
    assert "CORE False" in printed
    assert (script.parent / "adapter" / "adapter_model.safetensors").is_file()


@pytest.mark.slow
def test_the_script_casts_the_adapter_as_the_run_does(tmp_path: Path) -> None:
    import torch
    import transformers

    recipe = read_recipe(paths.RECIPE, ['launch.devices="cpu"', "tuner.adapter_dtype=bfloat16"])
    text = plain_script(create(Workspace(tmp_path), recipe, name="cast"), on_cpu=True)
    until_training = text[: text.index("trainer.train()")].replace('"output"', repr(str(tmp_path / "output")))
    names: dict[str, Any] = {"torch": torch, "transformers": transformers}
    exec(compile(until_training, "train.py", "exec"), names)
    trained = [p.dtype for p in names["trainer"].model.parameters() if p.requires_grad]
    assert trained and set(trained) == {torch.bfloat16}
