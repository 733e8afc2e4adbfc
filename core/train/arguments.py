"""From a recipe to TRL's SFTConfig: every field that matters is set, none is left to a library's default."""

from __future__ import annotations

import dataclasses
import difflib
from pathlib import Path
from typing import Any

from core.errors import UsageError
from core.recipe import Recipe

# Keys of [training.extra] that would bypass what the recipe, the run folder or the labels already decide.
DECIDED_ELSEWHERE = {
    "output_dir": "the run folder",
    "bf16": "model.dtype",
    "fp16": "model.dtype",
    "max_length": "data.max_length",
    "packing": "data.packing",
    "packing_strategy": "data.packing",
    "dataset_kwargs": "the prepared data",
    "completion_only_loss": "data.loss_on",
    "assistant_only_loss": "data.loss_on",
    "chat_template_path": "data.template",
    "model_init_kwargs": "the [model] section",
    "remove_unused_columns": "the prepared data",
    "auto_find_batch_size": "training.micro_batch: a batch size is never changed silently",
    "load_best_model_at_end": "training.keep_checkpoints: the best checkpoint is kept beside the newest",
    "save_total_limit": "training.keep_checkpoints",
    "resume_from_checkpoint": "tunedeck resume",
}


def sft_arguments(recipe: Recipe, output: Path, *, has_eval: bool, on_cpu: bool) -> dict[str, Any]:
    """The arguments of SFTConfig for a recipe.

    Raises UsageError for a key of `[training.extra]` that SFTConfig does not have, or that is decided elsewhere.
    """
    training, data = recipe.training, recipe.data
    packed = data.packing != "none"
    arguments: dict[str, Any] = {
        "output_dir": str(output),
        # how long
        "num_train_epochs": training.epochs,
        "max_steps": training.max_steps or -1,
        # how fast
        "learning_rate": recipe.learning_rate,
        "per_device_train_batch_size": training.micro_batch,
        "per_device_eval_batch_size": training.micro_batch,
        "gradient_accumulation_steps": training.accumulation,
        "optim": training.optimizer,
        "lr_scheduler_type": training.scheduler,
        "warmup_steps": training.warmup,  # below 1 a share of the steps, as in the recipe
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.max_grad_norm,
        "neftune_noise_alpha": training.neftune_noise_alpha or None,
        "seed": training.seed,
        "data_seed": training.seed,
        # memory and precision
        "bf16": recipe.model.dtype == "bfloat16",
        "fp16": recipe.model.dtype == "float16",
        "use_cpu": on_cpu,
        "gradient_checkpointing": training.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False}
        if training.gradient_checkpointing
        else None,
        # data: prepared and labelled; only packing is left to TRL
        "dataset_kwargs": {"skip_prepare_dataset": not packed},
        "max_length": data.max_length,
        "packing": packed,
        "packing_strategy": data.packing if packed else "bfd",
        "eval_packing": False,
        "padding_free": False,
        "completion_only_loss": False,
        "assistant_only_loss": False,
        "loss_type": "nll",
        "shuffle_dataset": False,
        "remove_unused_columns": True,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": not on_cpu,
        "average_tokens_across_devices": True,
        # what is told, and when
        "logging_strategy": "steps",
        "logging_steps": training.logging_steps,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,  # the filter hides a NaN loss
        "disable_tqdm": True,
        "report_to": training.report_to or "none",
        "eval_strategy": _strategy(training.eval_steps) if has_eval else "no",
        "eval_steps": training.eval_steps or None,
        "prediction_loss_only": True,  # anything else builds the full logits
        "save_strategy": _strategy(training.save_steps),
        "save_steps": training.save_steps or 500,
        "save_total_limit": None,  # the run keeps the newest and the best itself
        "metric_for_best_model": "eval_loss" if has_eval else None,
        "greater_is_better": False if has_eval else None,
        "load_best_model_at_end": False,
        "push_to_hub": False,
    }
    return arguments | checked_extra(training.extra)


def checked_extra(extra: dict[str, Any]) -> dict[str, Any]:
    """The `[training.extra]` table, if the installed SFTConfig has every one of its fields."""
    if not extra:
        return {}
    from trl import SFTConfig

    known = {field.name for field in dataclasses.fields(SFTConfig) if field.init}
    for key in extra:
        if key in DECIDED_ELSEWHERE:
            raise UsageError(f"training.extra.{key} is decided by {DECIDED_ELSEWHERE[key]}")
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            raise UsageError(
                f"training.extra.{key} is not a field of the installed SFTConfig",
                fix=f"did you mean {near[0]}?" if near else "remove it",
            )
    return extra


def _strategy(steps: int) -> str:
    return "steps" if steps else "epoch"
