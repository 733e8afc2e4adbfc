"""What is trained: the PEFT configuration of an adapter method, or which weights get gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.errors import TunedeckError
from core.models.architecture import Architecture
from core.models.targets import feedforward_outputs, matched, one_table
from core.recipe import ADAPTER_METHODS, LORA_METHODS, Recipe

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel


def adapter_config(recipe: Recipe, architecture: Architecture) -> PeftConfig | None:
    """PEFT's configuration with every field that matters set; None for methods that train the weights."""
    tuner = recipe.tuner
    if tuner.method not in ADAPTER_METHODS:
        return None
    if tuner.method in LORA_METHODS:
        from peft import LoraConfig

        return LoraConfig(
            task_type="CAUSAL_LM",
            r=tuner.rank,
            lora_alpha=recipe.alpha,
            lora_dropout=tuner.dropout,
            target_modules=targets(recipe),
            modules_to_save=tuner.modules_to_save or None,
            bias="none",
            use_rslora=tuner.method == "rslora",
            use_dora=tuner.method == "dora",
            ensure_weight_tying=one_table(architecture, tuner.modules_to_save),
        )
    if tuner.method == "ia3":
        from peft import IA3Config

        # IA3 scales what goes into the last layer of an MLP, and what comes out of every other layer.
        layers = matched(architecture, tuner.targets, tuner.modules_to_save)
        return IA3Config(
            task_type="CAUSAL_LM",
            target_modules=[layer.name for layer in layers],
            feedforward_modules=feedforward_outputs(layers),
            modules_to_save=tuner.modules_to_save or None,
        )
    if tuner.method == "prompt":
        from peft import PromptTuningConfig, PromptTuningInit

        return PromptTuningConfig(
            task_type="CAUSAL_LM",
            num_virtual_tokens=tuner.virtual_tokens,
            prompt_tuning_init=PromptTuningInit.RANDOM,
        )
    from peft import PrefixTuningConfig

    return PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=tuner.virtual_tokens)


def targets(recipe: Recipe) -> str | list[str]:
    """The recipe's targets in PEFT's words: "all-linear", a list of names, or a regular expression."""
    named = recipe.tuner.targets
    return named.removeprefix("re:") if isinstance(named, str) else list(named)


def train_last_layers(model: PreTrainedModel, layers: int) -> None:
    """Leave gradients only on the last decoder layers; embeddings, head and final norm stay as they are."""
    import torch

    stacks = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    if not stacks:
        raise TunedeckError(f"{type(model).__name__} has no list of layers to freeze")
    stack = max(stacks, key=len)
    if layers > len(stack):
        raise TunedeckError(
            f"the model has {len(stack)} layers, and tuner.train_last_layers = {layers}",
            fix=f"use at most {len(stack)}",
        )
    model.requires_grad_(False)
    for layer in list(stack)[-layers:]:
        layer.requires_grad_(True)


def counts(model: Any) -> tuple[int, int]:
    """Trainable and all parameters; quantised weights are counted as what they stand for."""
    if hasattr(model, "get_nb_trainable_parameters"):
        return model.get_nb_trainable_parameters()
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return trainable, sum(parameter.numel() for parameter in model.parameters())


def cast_adapter(model: Any, recipe: Recipe) -> None:
    """Give the adapter the dtype the recipe names; `auto` leaves what PEFT and TRL chose.

    DoRA's magnitudes stay in fp32: their updates can be smaller than bfloat16 can hold.
    """
    import torch

    wanted = recipe.tuner.adapter_dtype
    if wanted == "auto" or recipe.tuner.method not in ADAPTER_METHODS:
        return
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and "lora_magnitude_vector" not in name:
            parameter.data = parameter.data.to(getattr(torch, wanted))
