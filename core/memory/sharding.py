"""How a strategy divides what one process would hold, and the buffers it adds."""

from __future__ import annotations

from core.memory.figure import Figure, figure
from core.memory.setting import Setting
from core.models.architecture import Architecture

# DeepSpeed's defaults count elements (runtime/zero/config.py); transformers' "auto" maps buckets to h x h.
DDP_BUCKET = 25 << 20
FSDP_SOURCE = "accelerate fsdp_utils.py; published FSDP runs"


def shard(setting: Setting, kind: str) -> int:
    """By how many ranks `kind` ("weights", "gradients" or "optimizer") is divided."""
    divided = {
        "zero1": ("optimizer",),
        "zero2": ("optimizer", "gradients"),
        "zero3": ("optimizer", "gradients", "weights"),
        "fsdp": ("optimizer", "gradients", "weights"),
    }.get(setting.strategy, ())
    return setting.ranks if kind in divided else 1


def upcast(setting: Setting) -> float:
    """accelerate turns trainable 16-bit weights to fp32 before sharding them under mixed precision."""
    sharded = setting.strategy == "fsdp" and setting.ranks > 1
    return 2.0 if sharded and setting.trains_base and setting.autocast and setting.weight == 2 else 1.0


def gathered(setting: Setting, architecture: Architecture) -> list[Figure]:
    """Whole units that a sharded run holds while it computes: the root for the step, one layer in the block."""
    if shard(setting, "weights") == 1:
        return []
    groups = architecture.parameters
    root = groups.embedding + groups.head
    return [
        figure(
            "gathered layers", root * setting.compute,
            f"embeddings and head {root:,} x {setting.compute} B stay gathered", FSDP_SOURCE,
        )
    ]  # fmt: skip


def gathered_layer(setting: Setting, architecture: Architecture) -> list[Figure]:
    """One layer, whole, in the block phase."""
    if shard(setting, "weights") == 1:
        return []
    groups = architecture.parameters
    layer = (groups.total - groups.embedding - groups.head) // max(architecture.layers, 1)
    each = setting.compute if setting.quantization == "none" else 0.75  # 1.5 x the half byte of nf4
    return [figure("gathered layers", layer * each, f"one layer {layer:,} x {each:g} B", FSDP_SOURCE)]


def buckets(setting: Setting, gradients: int, architecture: Architecture) -> list[Figure]:
    """Communication buffers of the strategy."""
    if setting.ranks == 1:
        return []
    if setting.strategy == "ddp":
        return [
            figure(
                "buckets", gradients, f"DDP buckets as large as the gradients, {gradients:,} B", "torch DDP"
            )
        ]
    if setting.strategy in ("zero1", "zero2", "zero3"):
        elements = architecture.hidden_size**2
        return [
            figure(
                "buckets", 2 * elements * setting.compute,
                f"2 buckets x {elements:,} x {setting.compute} B", "transformers: auto is hidden_size squared",
            )
        ]  # fmt: skip
    return []
