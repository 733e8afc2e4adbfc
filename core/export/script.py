"""A run as one plain Python file on transformers, PEFT and TRL: it trains the same without tunedeck."""

from __future__ import annotations

import pprint
from pathlib import Path
from typing import Any

from core.errors import UsageError
from core.export.raw_rows import prepared_rows, raw_rows
from core.recipe import ADAPTER_METHODS, Recipe
from core.runs.folder import Run

HEAD = '''"""Trains what the run {run} trained, with transformers, PEFT and TRL alone.

    {start}

{what}
"""

import torch
import transformers
from datasets import {imported}
{imports}from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

MODEL = {model!r}
OUTPUT = {output!r}

{rows}
transformers.set_seed({seed})
tokenizer = AutoTokenizer.from_pretrained(MODEL)
model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.{dtype}, attn_implementation={attention!r}{quantization})
model.config.use_cache = False
{freeze}
arguments = SFTConfig(
{arguments}
)
trainer = SFTTrainer(
    model=model,
    args=arguments,
    train_dataset=train_rows,
    eval_dataset=eval_rows,
    processing_class=tokenizer,{peft}
)
{cast}trainer.train()
trainer.save_model(OUTPUT)
'''


def plain_script(run: Run, *, name: str = "train.py", on_cpu: bool | None = None, raw: bool = False) -> str:
    """The text of the file, starting from the prepared rows or, with `raw`, from the person's own file.

    Raises UsageError for a run that plain TRL cannot repeat.
    """
    from core.train.arguments import sft_arguments

    recipe = run.read_recipe()
    if recipe.training.prompt_loss_weight:
        raise UsageError(
            "TRL has no prompt_loss_weight", where=run.id, fix="set training.prompt_loss_weight = 0.0"
        )
    identity = run.read_json(run.identity)
    data = identity["data"]
    on_cpu = no_gpu(recipe) if on_cpu is None else on_cpu
    arguments = sft_arguments(recipe, Path("output"), has_eval=bool(data.get("eval_folder")), on_cpu=on_cpu)
    rows = raw_rows(run) if raw else prepared_rows(run)
    arguments |= {"output_dir": "output", "disable_tqdm": False, **rows.arguments}
    peft, imports = _adapter(recipe, Path(identity["model"]["folder"]))
    return HEAD.format(
        run=run.id,
        start=_start(run, recipe, name),
        imports=imports,
        what=rows.what,
        imported=rows.imported,
        rows=rows.code,
        model=identity["model"]["folder"]
        if identity["model"]["kind"] != "hub"
        else identity["model"]["source"],
        output="adapter" if peft else "model",
        seed=recipe.training.seed,
        dtype=recipe.model.dtype,
        attention="sdpa" if recipe.model.attention == "auto" else recipe.model.attention,
        quantization=_quantization(recipe),
        freeze=_freeze(recipe),
        arguments="\n".join(f"    {key}={_value(value)}," for key, value in arguments.items()),
        cast=_cast(recipe),
        peft=f"\n    peft_config={peft}," if peft else "",
    )


def _adapter(recipe: Recipe, model: Path) -> tuple[str, str]:
    """The PEFT configuration as source text, and its import."""
    from core.models.architecture_of import read_model
    from core.train.tuner import adapter_config

    config: Any = adapter_config(recipe, read_model(model))
    if config is None:
        return "", ""
    kind = type(config)
    fresh = kind(task_type="CAUSAL_LM").to_dict()
    changed = {k: v for k, v in config.to_dict().items() if v != fresh.get(k) and k != "peft_version"}
    inner = ", ".join(f"{key}={_value(value)}" for key, value in changed.items())
    return f'{kind.__name__}(task_type="CAUSAL_LM", {inner})', f"from peft import {kind.__name__}\n"


def _quantization(recipe: Recipe) -> str:
    model = recipe.model
    if model.quantization == "none":
        return ""
    if model.quantization == "int8":
        return ", quantization_config=transformers.BitsAndBytesConfig(load_in_8bit=True)"
    return (
        ", quantization_config=transformers.BitsAndBytesConfig(load_in_4bit=True, "
        f"bnb_4bit_quant_type={model.quantization!r}, bnb_4bit_use_double_quant={model.double_quantization}, "
        f"bnb_4bit_compute_dtype=torch.{model.dtype})"
    )


def _start(run: Run, recipe: Recipe, name: str) -> str:
    """The command that starts the file with as many processes as the run had."""
    if recipe.launch.strategy == "single":
        return f"python {name}"
    return f"accelerate launch --config_file {run.accelerate} {name}"


def _cast(recipe: Recipe) -> str:
    if recipe.tuner.adapter_dtype == "auto" or recipe.tuner.method not in ADAPTER_METHODS:
        return ""
    return (
        "for name, parameter in trainer.model.named_parameters():\n"
        '    if parameter.requires_grad and "lora_magnitude_vector" not in name:\n'
        f"        parameter.data = parameter.data.to(torch.{recipe.tuner.adapter_dtype})\n"
    )


def _freeze(recipe: Recipe) -> str:
    if recipe.tuner.method != "freeze":
        return ""
    return (
        "model.requires_grad_(False)\n"
        f"for layer in model.model.layers[-{recipe.tuner.train_last_layers}:]:\n    layer.requires_grad_(True)\n"
    )


def _value(value: Any) -> str:
    if isinstance(value, set):
        value = sorted(value)
    return pprint.pformat(value, width=10_000)


def no_gpu(recipe: Recipe) -> bool:
    """Whether the run would train on the CPU here."""
    import torch

    return recipe.launch.devices == "cpu" or not torch.cuda.is_available()
