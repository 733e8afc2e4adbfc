"""A run as a configuration of `trl sft`, TRL's own command: the same rows, model, adapter and arguments.

trl sft --config sft.yaml
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from core.errors import UsageError
from core.models.architecture_of import read_model
from core.models.targets import one_table
from core.recipe import LORA_METHODS, Recipe
from core.runs.folder import Run

NAME = "sft.yaml"


def write_trl_folder(run: Run, target: Path, *, on_cpu: bool) -> None:
    """Make `target` with `sft.yaml` and, in `data/`, the run's prepared rows as `load_dataset` finds them.

    Raises UsageError for a run that `trl sft` cannot repeat.
    """
    values = trl_values(run, on_cpu=on_cpu)
    data = run.read_json(run.identity)["data"]
    target.mkdir(parents=True)
    for split, folder in (("train", data["folder"]), ("test", data.get("eval_folder"))):
        for file in sorted((run.folder / folder).glob("*.arrow")) if folder else []:
            (target / "data" / split).mkdir(parents=True, exist_ok=True)
            _link_or_copy(file, target / "data" / split / file.name)
    lines = [f"# Trains what the run {run.id} trained: trl sft --config {NAME}, started in this folder."]
    lines += [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    (target / NAME).write_text("\n".join(lines) + "\n", encoding="utf-8")


def trl_values(run: Run, *, on_cpu: bool) -> dict[str, Any]:
    """The keys of the file: TRL's ModelConfig, ScriptArguments and SFTConfig. A JSON value is a YAML value."""
    from core.train.arguments import sft_arguments

    recipe, identity = run.read_recipe(), run.read_json(run.identity)
    _require_possible(run, recipe, Path(identity["model"]["folder"]))
    model, has_eval = identity["model"], bool(identity["data"].get("eval_folder"))
    from_hub = model["kind"] == "hub"
    values: dict[str, Any] = {
        "model_name_or_path": model["source"] if from_hub else model["folder"],
        "model_revision": model["revision"] if from_hub else "main",
        "dtype": recipe.model.dtype,
        "attn_implementation": "sdpa" if recipe.model.attention == "auto" else recipe.model.attention,
        "trust_remote_code": recipe.model.trust_remote_code,
        "model_init_kwargs": {"use_cache": False},
        **_quantization(recipe),
        **_adapter(recipe),
        "dataset_name": "data",
    }
    arguments = sft_arguments(recipe, Path("output"), has_eval=has_eval, on_cpu=on_cpu)
    arguments["disable_tqdm"] = False
    return values | {key: value for key, value in arguments.items() if value is not None}


def _require_possible(run: Run, recipe: Recipe, model: Path) -> None:
    tuner = recipe.tuner
    if tuner.method not in (*LORA_METHODS, "full"):
        reason = f"`trl sft` knows LoRA and full training, not {tuner.method}"
    elif recipe.training.prompt_loss_weight:
        reason = "TRL has no prompt_loss_weight"
    elif tuner.adapter_dtype != "auto":
        reason = "`trl sft` does not choose the type of an adapter"
    elif one_table(read_model(model), tuner.modules_to_save):
        reason = "`trl sft` does not keep embedding and head one matrix when it trains one of them"
    else:
        return
    raise UsageError(reason, where=run.id, fix="tunedeck export script writes Python, which can do more")


def _adapter(recipe: Recipe) -> dict[str, Any]:
    from core.train.tuner import targets

    tuner = recipe.tuner
    if tuner.method == "full":
        return {}
    named = targets(recipe)
    return {
        "use_peft": True,
        "lora_r": tuner.rank,
        "lora_alpha": recipe.alpha,
        "lora_dropout": tuner.dropout,
        "lora_target_modules": [named] if isinstance(named, str) else named,
        **({"lora_modules_to_save": tuner.modules_to_save} if tuner.modules_to_save else {}),
        "use_rslora": tuner.method == "rslora",
        "use_dora": tuner.method == "dora",
    }


def _quantization(recipe: Recipe) -> dict[str, Any]:
    model = recipe.model
    if model.quantization == "none":
        return {}
    if model.quantization == "int8":
        return {"load_in_8bit": True}
    return {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": model.quantization,
        "use_bnb_nested_quant": model.double_quantization,
    }


def _link_or_copy(source: Path, target: Path) -> None:
    """Prepared rows are never changed, so on one file system a second name is as good as a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
