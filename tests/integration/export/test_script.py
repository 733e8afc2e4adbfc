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
from core.errors import UsageError
from core.export.script import plain_script
from core.recipe import read_recipe, recipe_text
from core.runs.follow import follow
from core.runs.start import create, start
from core.workspace import Workspace


@pytest.mark.slow
def test_the_script_gives_the_losses_of_the_run(tmp_path: Path) -> None:
    """From the prepared rows and, with TRL's own preparation, from the raw ones."""
    pairs = [
        {
            "prompt": [{"role": "user", "content": f"Repeat: {n} cats."}],
            "completion": [{"role": "assistant", "content": f"{n} cats, {n} cats."}],
        }
        for n in range(60)
    ]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    changes = ["training.max_steps=4", "training.logging_steps=1", 'launch.devices="cpu"']
    changes += [
        "data.source=pairs.jsonl",
        'data.eval_source=""',
        "data.eval_fraction=0.1",
        "data.loss_on=auto",
    ]
    recipe = read_recipe(paths.RECIPE, changes)
    run = start(Workspace(tmp_path), recipe, name="short")
    for _ in follow(run):
        pass
    events = [json.loads(line) for line in run.events.read_text().splitlines()]
    losses = [event["loss"] for event in events if event["kind"] == "step"]
    assert len(losses) == 4

    for raw in (False, True):
        folder = tmp_path / f"elsewhere-{raw}"
        folder.mkdir()
        text = plain_script(run, on_cpu=True, raw=raw)
        assert "tunedeck" not in text.split('"""')[2] and ("load_dataset" in text) == raw
        assert losses_of(text, folder) == pytest.approx(losses, rel=1e-4)
        assert (folder / "adapter" / "adapter_model.safetensors").is_file()


def losses_of(text: str, folder: Path) -> list[float]:
    """Run the script in a process that cannot import anything of ours; its losses."""
    tail = "\nimport json, sys\nprint('LOSSES', json.dumps([e['loss'] for e in trainer.state.log_history if 'loss' in e]))\n"
    tail += "print('CORE', 'core' in sys.modules)\n"
    script = folder / "train.py"
    script.write_text(text + tail)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["HF_DATASETS_CACHE"] = str(folder / "cache")
    ran = subprocess.run(
        [sys.executable, script.name], cwd=script.parent, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    printed = ran.stdout.splitlines()
    assert "CORE False" in printed
    return json.loads(next(line for line in printed if line.startswith("LOSSES")).removeprefix("LOSSES"))


@pytest.mark.parametrize(
    "change",
    [
        "training.seed=42",  # TRL finds no answers in the demo's template
        "data.packing=bfd",
        "data.loss_on=last",
        "data.columns.text=messages",
        'data.source="demo/troubled.jsonl"',
    ],
)
def test_raw_rows_that_trl_would_label_otherwise_are_refused(tmp_path: Path, change: str) -> None:
    recipe = read_recipe(paths.RECIPE, ['launch.devices="cpu"', "tuner.dropout=0.0"])
    run = create(Workspace(tmp_path), recipe, name="raw")
    run.recipe.write_text(recipe_text(read_recipe(paths.RECIPE, [change])))
    if "troubled" in change:
        run.data.joinpath("report.json").write_text('{"findings": [{"severity": "error"}]}')
    with pytest.raises(UsageError, match="TRL cannot start from these raw rows"):
        plain_script(run, on_cpu=True, raw=True)


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
