"""The dry run of a recipe: what `core.memory.trace` counts, with the trainer's own adapter and settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.memory.optimizer import optimizer_named, state_figure, step_figure
from core.memory.setting import Lengths, Setting, resolve
from core.memory.stack import installed_stack
from core.models.architecture import Architecture
from core.models.architecture_of import read_architecture, read_config, with_vocabulary
from core.models.targets import one_table
from core.recipe import Recipe

if TYPE_CHECKING:
    from core.memory.trace import Untraced


def dry_run(
    recipe: Recipe,
    model_folder: Path,
    lengths: Lengths | None = None,
    device: str = "cuda",
    progress: Callable[[Any], Any] | None = None,
    vocabulary: int | None = None,
) -> dict[str, Any]:
    """Trace the recipe's training step without data; the trace as JSON. For the workshop process.

    Raises TunedeckError for a model whose code cannot run on fake tensors.
    """
    import torch
    from transformers import AutoConfig

    from core.memory.trace import Subject, trace

    values = read_config(model_folder)
    if vocabulary is not None:
        values = with_vocabulary(values, vocabulary)
    architecture = read_architecture(values)
    setting = resolve(
        recipe,
        architecture,
        lengths=lengths,
        stack=installed_stack(),
        device="cpu" if device == "cpu" else "cuda",
    )
    config = AutoConfig.for_model(**values)
    autocast = torch.float16 if recipe.model.dtype == "float16" else torch.bfloat16
    subject = Subject(
        config=config,
        setting=setting,
        dtype=getattr(torch, recipe.model.dtype),
        autocast=autocast if setting.autocast else None,
        adapt=lambda model: adapted_model(model, recipe, architecture),
        attention="eager" if setting.attention == "eager" else "sdpa",
        untraced=_untraced(setting, architecture),
    )
    return trace(subject, progress).to_json()


def _untraced(setting: Setting, architecture: Architecture) -> Untraced | None:
    """What the optimizer holds by formula, where its own code cannot be traced. Paged states lie outside."""
    from core.memory.trace import Untraced, runs_on_fake_tensors

    if runs_on_fake_tensors(setting.optimizer):
        return None
    states, step = state_figure(setting, architecture), step_figure(setting)
    paged = optimizer_named(setting.optimizer).paged
    words = f"{states.formula}, paged: outside the allocator" if paged else states.formula
    return Untraced(setting.optimizer, 0 if paged else states.bytes, step.bytes, words)


def adapted_model(model: Any, recipe: Recipe, architecture: Architecture) -> Any:
    """The model with what the trainer would add: PEFT's adapter in the recipe's type, or frozen layers."""
    import torch

    from core.train.tuner import adapter_config, cast_adapter, train_last_layers

    config = adapter_config(recipe, architecture)
    if config is None:
        if recipe.tuner.method == "freeze":
            train_last_layers(model, recipe.tuner.train_last_layers)
        return model
    from peft import get_peft_model

    model.requires_grad_(False)
    # On "meta" PEFT does not tie the copies of a table that embedding and head share; the trainer's PEFT does.
    shared = one_table(architecture, recipe.tuner.modules_to_save)
    model = get_peft_model(model, config, low_cpu_mem_usage=model.device.type == "meta" and not shared)
    if recipe.model.quantization != "none":
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and "lora_magnitude_vector" not in name:
                parameter.data = parameter.data.to(torch.bfloat16)
    cast_adapter(model, recipe)
    return model
