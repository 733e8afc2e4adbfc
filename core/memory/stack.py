"""Which versions are installed, read without importing them, and what that says about the loss."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

Loss = Literal[
    "fused head", "chunked head", "chunked head, fp32 copy", "logits", "fused cross-entropy", "liger"
]

PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate")


@dataclass(frozen=True, slots=True)
class Stack:
    """Versions that decide memory. `flash_attention` is True where the package flash-attn is installed."""

    torch: str = "2.13.0"
    transformers: str = "5.23.0"
    trl: str = "1.16.0"
    peft: str = "0.21.0"
    bitsandbytes: str = ""
    accelerate: str = ""
    flash_attention: bool = False


@dataclass(frozen=True, slots=True)
class LossPath:
    """How the head and the loss are computed. `bytes_per_logit` counts at the peak of the step."""

    kind: Loss
    bytes_per_logit: int = 0
    why: str = ""


@cache
def installed_stack() -> Stack:
    """The versions of this environment, from package metadata; "" for a package that is not installed."""
    found = {name: _version(name) for name in PACKAGES}
    return Stack(**found, flash_attention=bool(_version("flash-attn") or _version("flash_attn")))


def loss_path(choice: str, stack: Stack, *, extra: dict[str, object] | None = None) -> LossPath:
    """The loss path for a recipe's `plan.loss`; "auto" reads the versions.

    Table by version: memory grew and shrank by tens of GiB between releases, so it is never one constant.
    Label smoothing and metrics in evaluation take the full-logits path in every version.
    """
    if choice == "fused":
        return LossPath("fused head", why="chosen in the recipe")
    if choice == "liger":
        return LossPath("liger", why="chosen in the recipe")
    if choice == "logits-8":
        return LossPath("fused cross-entropy", 8, "chosen in the recipe")
    if choice.startswith("logits-"):
        return LossPath("logits", int(choice.removeprefix("logits-")), "chosen in the recipe")
    asks_for_logits = bool(extra and extra.get("label_smoothing_factor"))
    if numbers(stack.trl) >= (1, 15) and not asks_for_logits:
        return LossPath("fused head", why=f"trl {stack.trl} scores tokens through a fused head")
    if (1, 13) <= numbers(stack.trl) < (1, 15) and not asks_for_logits:
        return LossPath("chunked head", why=f"trl {stack.trl} takes 256 tokens at a time")
    if (1, 7) <= numbers(stack.trl) < (1, 13) and not asks_for_logits:
        return LossPath("chunked head, fp32 copy", why=f"trl {stack.trl} copies the head to fp32 per chunk")
    if numbers(stack.transformers) >= (4, 50):
        return LossPath("logits", 12, f"transformers {stack.transformers} builds all logits")
    if numbers(stack.transformers) >= (4, 46):
        return LossPath(
            "logits", 14, f"transformers {stack.transformers} keeps 16-bit and fp32 logits and a shift"
        )
    return LossPath("logits", 12, f"transformers {stack.transformers} keeps fp32 logits and a shifted copy")


def numbers(text: str) -> tuple[int, ...]:
    """Leading numeric parts of a version, (0,) if there are none."""
    parts: list[int] = []
    for part in text.split(".")[:3]:
        digits = "".join(character for character in part if character.isdigit())
        if not part[:1].isdigit():
            break
        parts.append(int(digits))
    return tuple(parts) or (0,)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
