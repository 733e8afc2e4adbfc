"""Memory that torch's allocator does not see, and the reading of nvidia-smi that follows from it."""

from __future__ import annotations

from core.memory.figure import GIB, Figure, figure
from core.memory.setting import Setting

CONTEXT_BYTES = GIB  # CUDA context and loaded modules until measured here: 0.5 to 1.3 GiB by card
NCCL_BYTES = GIB // 2  # 0.1 to 0.6 GiB by card
# Resident size of a trainer process before the model: interpreter, torch, transformers, trl, peft, datasets.
HOST_BYTES = 640 << 20

# NVML reading divided by torch's peak on published single-GPU runs, low and high.
FACTORS = {
    "full": (1.01, 1.12),
    "lora": (1.05, 1.11),
    "quantised": (1.08, 1.14),
    "logits": (1.09, 1.64),
}


def outside_figures(
    setting: Setting, context_bytes: int | None = None, *, measured: bool = False
) -> list[Figure]:
    """CUDA context, libraries and NCCL, or the process itself on a CPU.

    `context_bytes` is what a run on this machine measured; the default is said to be one.
    """
    if setting.device == "cpu":
        value = context_bytes or HOST_BYTES
        text = "measured here" if measured else "interpreter and libraries, 0.6 GiB until measured here"
        return [figure("process", value, text, "resident size of a trainer before it loads a model")]
    value = context_bytes or CONTEXT_BYTES
    text = "measured here" if measured else "1.0 GiB until measured here; 0.5 to 1.3 by card"
    figures = [figure("CUDA context", value, text, "docs/memory.md, outside the allocator")]
    if setting.ranks > 1:
        figures.append(figure("NCCL", NCCL_BYTES, "0.5 GiB; 0.1 to 0.6 by card", "docs/memory.md"))
    return figures


def nvidia_smi_band(
    setting: Setting,
    peak: int,
    outside: int,
    others: int,
    total: int | None,
    reserve_share: float | None = None,
) -> tuple[int, int]:
    """Expected device reading, low and high: never a criterion for fitting.

    The allocator keeps freed blocks, so the reading lies above the peak by a factor; on small peaks the
    context is the larger part. `reserve_share`, measured here, takes the place of the published factors: half and
    one and a half times of it. Capped at the card.
    """
    if setting.device == "cpu":
        return peak + outside, round(peak * 1.1) + outside
    if reserve_share is not None:
        low, high = (others + round(peak * (1 + reserve_share * part)) + outside for part in (0.5, 1.5))
        return (min(low, total), min(high, total)) if total else (low, high)
    if setting.loss.kind in ("logits", "fused cross-entropy"):
        case = "logits"
    elif setting.quantization != "none":
        case = "quantised"
    else:
        case = "full" if setting.trains_base else "lora"
    low, high = (others + max(round(peak * factor), peak + outside) for factor in FACTORS[case])
    return (min(low, total), min(high, total)) if total else (low, high)
