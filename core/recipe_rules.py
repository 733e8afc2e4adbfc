"""Combinations of recipe keys that cannot work, each with the one key to look at and the fix."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.recipe_names import DECIDED_ELSEWHERE, unknown_field, unknown_optimizer, unknown_scheduler

if TYPE_CHECKING:
    from core.recipe import Recipe

# Trackers of transformers, and the package of each.
TRACKERS = {
    name: name
    for name in ("tensorboard", "wandb", "mlflow", "trackio", "comet_ml", "clearml", "codecarbon", "swanlab")
}


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
    broken += _scheduler_rules(recipe)
    for tracker in training.report_to:
        if tracker not in TRACKERS:
            fix = _nearest(tracker, frozenset(TRACKERS)) or f"known: {', '.join(TRACKERS)}"
            broken.append(BrokenRule("training.report_to", f"there is no tracker {tracker}", fix))
    for name in training.extra:
        key = f"training.extra.{name}"
        if name == "bf16" and recipe.model.dtype == "float16":
            what = f"{key} computes in bfloat16, and model.dtype is float16"
            broken.append(BrokenRule(key, what, 'remove it, or use model.dtype = "bfloat16" or "float32"'))
        elif name in DECIDED_ELSEWHERE:
            broken.append(BrokenRule(key, f"{key} is decided by {DECIDED_ELSEWHERE[name]}", "remove it"))
        elif fields := unknown_field(name):
            what = f"{key} is not a field of the installed SFTConfig"
            broken.append(BrokenRule(key, what, _nearest(name, fields) or "remove it"))
    return broken


SCHEDULER_ARGUMENTS = {  # that have no default, as one or the other
    "cosine_with_min_lr": ("min_lr", "min_lr_rate"),
    "cosine_warmup_with_min_lr": ("min_lr", "min_lr_rate"),
    "warmup_stable_decay": ("num_decay_steps",),
}
WATCH_THE_EVALUATION = ("reduce_lr_on_plateau", "greedy")


def _scheduler_rules(recipe: Recipe) -> list[BrokenRule]:
    scheduler, data = recipe.training.scheduler, recipe.data
    given = recipe.training.extra.get("lr_scheduler_kwargs")
    needed = SCHEDULER_ARGUMENTS.get(scheduler, ())
    if needed and not (isinstance(given, dict) and any(name in given for name in needed)):
        what = f"{scheduler} needs {' or '.join(needed)}"
        fix = f"for example training.extra.lr_scheduler_kwargs = {{ {needed[-1]} = {'10' if needed[0].startswith('num') else '0.1'} }}"
        return [BrokenRule("training.scheduler", what, fix)]
    if scheduler in WATCH_THE_EVALUATION and not (data.eval_source or data.eval_fraction):
        what = f"{scheduler} follows the evaluation, and no rows are held out"
        return [BrokenRule("training.scheduler", what, "set data.eval_fraction or data.eval_source")]
    return []


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
