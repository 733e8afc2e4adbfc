"""The fields of the recipe that decide memory: what they are called, how they are shown and stepped."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from core.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Knob:
    """One recipe key. With `choices` a step takes the next one, without it a step halves or doubles."""

    key: str
    name: str
    choices: tuple[Any, ...] = ()
    words: bool = False  # typed, not stepped

    def value(self, recipe: Recipe) -> Any:
        section, _, name = self.key.partition(".")
        return getattr(getattr(recipe, section), name)

    def text(self, recipe: Recipe) -> str:
        """The value as it is shown and typed."""
        value = self.value(recipe)
        if isinstance(value, bool):
            return "on" if value else "off"
        return value if isinstance(value, str) else json.dumps(value)

    def stepped(self, recipe: Recipe, direction: int) -> Any:
        """The value one step on (direction 1) or back (-1); None where it cannot be stepped."""
        value = self.value(recipe)
        if self.words:
            return None
        if isinstance(value, bool):
            return not value
        if self.choices:
            at = self.choices.index(value) if value in self.choices else 0
            return self.choices[(at + direction) % len(self.choices)]
        return max(value * 2 if direction > 0 else value // 2, 1)

    def typed(self, text: str) -> Any:
        """The value a person's text means; the recipe's own rules judge it."""
        text = text.strip()
        if text in ("on", "off"):
            return text == "on"
        try:
            return json.loads(text.replace(",", "") if text.replace(",", "").isdigit() else text)
        except ValueError:
            return text


OPTIMIZERS = (
    "adamw_torch_fused", "adamw_torch", "adamw_bnb_8bit", "paged_adamw_8bit", "adafactor", "sgd",
)  # fmt: skip

KNOBS = (
    Knob("tuner.method", "method", ("lora", "dora", "rslora", "freeze", "full")),
    Knob("model.quantization", "quantization", ("none", "int8", "nf4", "fp4")),
    Knob("model.dtype", "dtype", ("bfloat16", "float16", "float32")),
    Knob("tuner.rank", "rank"),
    Knob("tuner.targets", "targets", words=True),
    Knob("data.max_length", "max_length"),
    Knob("data.packing", "packing", ("none", "bfd", "bfd_split", "wrapped")),
    Knob("training.micro_batch", "micro-batch"),
    Knob("training.accumulation", "accumulation"),
    Knob("training.gradient_checkpointing", "checkpointing"),
    Knob("model.attention", "attention", ("auto", "sdpa", "flash_attention_2", "eager")),
    Knob("training.optimizer", "optimizer", OPTIMIZERS),
    Knob("launch.strategy", "strategy", ("single", "ddp", "fsdp", "zero1", "zero2", "zero3")),
    Knob("launch.processes", "processes"),
    Knob(
        "plan.loss",
        "loss path",
        ("auto", "fused", "liger", "logits-8", "logits-10", "logits-12", "logits-14"),
    ),
)
