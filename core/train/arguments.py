"""From a recipe to TRL's SFTConfig: every field that matters is set, none is left to a library's default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.recipe import Recipe


def sft_arguments(recipe: Recipe, output: Path, *, has_eval: bool, on_cpu: bool) -> dict[str, Any]:
    """The arguments of SFTConfig for a recipe, whose own rules have checked `[training.extra]`."""
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
    return arguments | training.extra


def _strategy(steps: int) -> str:
    return "steps" if steps else "epoch"
