"""The packages that a recipe needs beside what is always installed."""

from __future__ import annotations

import importlib.util
import re
from typing import TYPE_CHECKING

from core.recipe_rules import TRACKERS, BrokenRule

if TYPE_CHECKING:
    from core.recipe import Recipe

# The package an optimizer of transformers comes from; torch and transformers have the others themselves.
OPTIMIZER_PACKAGES = (
    (r"adamw_torch_[48]bit", "torchao"),
    (r"adamw_anyprecision", "torchdistx"),
    (r"adamw_torch_xla", "torch_xla"),
    (r"adamw_torch_npu_fused", "torch_npu"),
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
        if not _installed(TRACKERS[tracker]):
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
