"""Combinations of recipe keys that cannot work, each with the one key to look at and the fix."""

from __future__ import annotations

import difflib
import importlib.util
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.recipe_names import DECIDED_ELSEWHERE, unknown_field, unknown_optimizer, unknown_scheduler

if TYPE_CHECKING:
    from core.recipe import Recipe


@dataclass(frozen=True, slots=True)
class BrokenRule:
    """A combination that cannot work: the key that decides, what is wrong, and what to change."""

    key: str
    what: str
    fix: str


def broken_rules(recipe: Recipe) -> list[BrokenRule]:
    """Every rule the recipe breaks; empty if it can work on a machine that has what it names."""
    return [
        *_model_rules(recipe),
        *_tuner_rules(recipe),
        *_data_rules(recipe),
        *_training_rules(recipe),
        *_launch_rules(recipe),
        *_form_rules(recipe),
    ]


def _form_rules(recipe: Recipe) -> list[BrokenRule]:
    form = recipe.evaluate.form
    try:
        known = form in ("", "json") or (form.startswith("re:") and bool(re.compile(form[3:])))
    except re.error as error:
        return [
            BrokenRule("evaluate.form", f"not a regular expression: {error}", 'use "json" or "re:PATTERN"')
        ]
    if known:
        return []
    return [BrokenRule("evaluate.form", f"{form} is not a form", 'use "json" or "re:PATTERN"')]


def _model_rules(recipe: Recipe) -> list[BrokenRule]:
    model, method = recipe.model, recipe.tuner.method
    broken = []
    if model.quantization != "none" and method in ("full", "freeze"):
        broken.append(
            BrokenRule(
                "model.quantization",
                f"{model.quantization} weights cannot be trained, and method {method} trains weights",
                'use tuner.method = "lora", or model.quantization = "none"',
            )
        )
    trains_weights = method in ("full", "freeze")
    if model.dtype == "float16" and (trains_weights or recipe.tuner.adapter_dtype == "bfloat16"):
        broken.append(
            BrokenRule(
                "model.dtype",
                "float16 training scales its gradients, which works on 32-bit trained weights only",
                'use model.dtype = "bfloat16" or "float32", or a LoRA method with adapter_dtype = "auto"',
            )
        )
    if model.attention == "flash_attention_2" and model.dtype == "float32":
        broken.append(
            BrokenRule(
                "model.attention",
                "flash attention works in 16 bit only",
                'use model.dtype = "bfloat16", or model.attention = "sdpa"',
            )
        )
    return broken


def _tuner_rules(recipe: Recipe) -> list[BrokenRule]:
    tuner, training = recipe.tuner, recipe.training
    broken = []
    if isinstance(tuner.targets, list) and not tuner.targets:
        broken.append(BrokenRule("tuner.targets", "no target layer is named", 'use "all-linear"'))
    if isinstance(tuner.targets, list) and "lm_head" in tuner.targets:
        broken.append(
            BrokenRule(
                "tuner.targets",
                "TRL's loss reads the raw head, so an adapter on lm_head is refused",
                'take lm_head out, or train it whole with tuner.modules_to_save = ["lm_head"]',
            )
        )
    if isinstance(tuner.targets, str):
        broken += _target_text_rules(tuner.targets)
    if tuner.method in ("prompt", "prefix") and recipe.data.packing != "none":
        broken.append(
            BrokenRule(
                "data.packing",
                f"{tuner.method} tuning puts its virtual tokens before a row, and a pack holds many rows",
                'use data.packing = "none"',
            )
        )
    if tuner.method == "prefix" and training.gradient_checkpointing:
        broken.append(
            BrokenRule(
                "training.gradient_checkpointing",
                "prefix tuning passes past keys and values, which checkpointing drops",
                "use training.gradient_checkpointing = false",
            )
        )
    if tuner.modules_to_save and tuner.method in ("full", "freeze", "prompt", "prefix"):
        broken.append(
            BrokenRule(
                "tuner.modules_to_save",
                f"method {tuner.method} has no modules to save beside it",
                "remove the key, or use a LoRA method",
            )
        )
    return broken


def _target_text_rules(targets: str) -> list[BrokenRule]:
    if targets.startswith("re:"):
        try:
            re.compile(targets[3:])
        except re.error as error:
            return [BrokenRule("tuner.targets", f"not a regular expression: {error}", "mend the pattern")]
        return []
    if targets != "all-linear":
        return [
            BrokenRule(
                "tuner.targets",
                f'"{targets}" is not a target set',
                f'use "all-linear", ["{targets}"], or "re:REGEX"',
            )
        ]
    return []


def _data_rules(recipe: Recipe) -> list[BrokenRule]:
    data, training = recipe.data, recipe.training
    broken = []
    if data.loss_on == "roles" and not data.roles:
        broken.append(
            BrokenRule(
                "data.loss_on", 'loss_on = "roles" needs data.roles', 'for example roles = ["assistant"]'
            )
        )
    if data.loss_on == "response-template" and not data.response_template:
        broken.append(
            BrokenRule(
                "data.loss_on",
                'loss_on = "response-template" needs data.response_template',
                "give the text that stands before every answer",
            )
        )
    if data.packing == "wrapped" and data.loss_on not in ("auto", "all"):
        broken.append(
            BrokenRule(
                "data.packing",
                f'wrapped packing cuts rows anywhere, so answers lose their prompts under loss_on = "{data.loss_on}"',
                'use data.packing = "bfd", or data.loss_on = "all"',
            )
        )
    if training.prompt_loss_weight > 0 and data.packing != "none":
        broken.append(
            BrokenRule(
                "training.prompt_loss_weight",
                "per-token weights are not carried through packing",
                'use data.packing = "none", or training.prompt_loss_weight = 0.0',
            )
        )
    if training.prompt_loss_weight > 0 and data.loss_on == "all":
        broken.append(
            BrokenRule(
                "training.prompt_loss_weight",
                'loss_on = "all" leaves no prompt to weigh',
                'use data.loss_on = "assistant", or remove the weight',
            )
        )
    return broken


def _training_rules(recipe: Recipe) -> list[BrokenRule]:
    training = recipe.training
    broken = []
    for key, name, known in (
        ("training.optimizer", training.optimizer, unknown_optimizer(training.optimizer)),
        ("training.scheduler", training.scheduler, unknown_scheduler(training.scheduler)),
    ):
        if known:
            what = f'the installed transformers has no {key.partition(".")[2]} "{name}"'
            broken.append(
                BrokenRule(key, what, _nearest(name, known) or f"known: {', '.join(sorted(known))}")
            )
    for name in training.extra:
        key = f"training.extra.{name}"
        if name in DECIDED_ELSEWHERE:
            broken.append(BrokenRule(key, f"{key} is decided by {DECIDED_ELSEWHERE[name]}", "remove it"))
        elif fields := unknown_field(name):
            what = f"{key} is not a field of the installed SFTConfig"
            broken.append(BrokenRule(key, what, _nearest(name, fields) or "remove it"))
    return broken


def _nearest(name: str, known: frozenset[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return f"did you mean {near[0]}?" if near else ""


def _launch_rules(recipe: Recipe) -> list[BrokenRule]:
    launch = recipe.launch
    broken = []
    if launch.strategy == "single" and launch.processes > 1:
        broken.append(
            BrokenRule(
                "launch.processes",
                f"strategy single runs one process, not {launch.processes}",
                'use launch.strategy = "ddp" or "fsdp", or launch.processes = 1',
            )
        )
    if launch.strategy in ("fsdp", "zero3") and recipe.model.quantization == "int8":
        broken.append(
            BrokenRule(
                "launch.strategy",
                f"int8 weights cannot be sharded by {launch.strategy}",
                'use launch.strategy = "ddp", or model.quantization = "nf4"',
            )
        )
    return broken


TRACKERS = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow", "trackio": "trackio"}


# The package an optimizer of transformers comes from; torch and transformers have the others themselves.
OPTIMIZER_PACKAGES = (
    (r"adamw_torch_[48]bit", "torchao"),
    (r"adamw_anyprecision", "torchdistx"),
    (r"galore_.*", "galore_torch"),
    (r"apollo_.*", "apollo_torch"),
    (r"lomo|adalomo", "lomo_optim"),
    (r"grokadamw", "grokadamw"),
    (r"schedule_free_.*", "schedulefree"),
    (r"stable_adamw", "optimi"),
    (r".*(8bit|bnb|32bit|paged|ademamix|lion).*", "bitsandbytes"),
)
PIP_NAMES = {
    "galore_torch": "galore-torch",
    "apollo_torch": "apollo-torch",
    "lomo_optim": "lomo-optim",
    "optimi": "torch-optimi",
    "liger_kernel": "liger-kernel",
}


def package_of(optimizer: str) -> str:
    """The package an optimizer needs beside torch and transformers; empty if none."""
    return next((package for names, package in OPTIMIZER_PACKAGES if re.fullmatch(names, optimizer)), "")


def missing_here(recipe: Recipe) -> list[BrokenRule]:
    """What the recipe names and this machine lacks. Not checked on reading: a plan may be for another machine."""
    missing = []
    if recipe.model.quantization != "none" and not _installed("bitsandbytes"):
        missing.append(
            BrokenRule(
                "model.quantization",
                f"{recipe.model.quantization} needs bitsandbytes, which is not installed here",
                'pip install bitsandbytes, or use model.quantization = "none"',
            )
        )
    package = package_of(recipe.training.optimizer)
    if package and not _installed(package):
        missing.append(
            BrokenRule(
                "training.optimizer",
                f"{recipe.training.optimizer} needs {package}, which is not installed here",
                f'pip install {PIP_NAMES.get(package, package)}, or use training.optimizer = "adamw_torch_fused"',
            )
        )
    for key, needs in (("use_liger_kernel", "liger_kernel"), ("use_kernels", "kernels")):
        wanted = recipe.model.use_kernels if key == "use_kernels" else recipe.training.extra.get(key)
        if wanted and not _installed(needs):
            section = "model" if key == "use_kernels" else "training.extra"
            missing.append(
                BrokenRule(
                    f"{section}.{key}",
                    f"{key} needs the package {PIP_NAMES.get(needs, needs)}, which is not installed here",
                    f"pip install {PIP_NAMES.get(needs, needs)}, or remove the key",
                )
            )
    if recipe.model.attention == "flash_attention_2" and not _installed("flash_attn"):
        missing.append(
            BrokenRule(
                "model.attention",
                "flash_attention_2 needs the package flash-attn, which is not installed here",
                'pip install flash-attn, or use model.attention = "auto"',
            )
        )
    if recipe.launch.strategy.startswith("zero") and not _installed("deepspeed"):
        missing.append(
            BrokenRule(
                "launch.strategy",
                f"{recipe.launch.strategy} needs deepspeed, which is not installed here",
                'pip install deepspeed, or use launch.strategy = "fsdp"',
            )
        )
    for tracker in recipe.training.report_to:
        if tracker in TRACKERS and not _installed(TRACKERS[tracker]):
            missing.append(
                BrokenRule(
                    "training.report_to",
                    f"{tracker} is not installed here",
                    f"pip install {TRACKERS[tracker]}, or take it out of training.report_to",
                )
            )
    return missing


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None
