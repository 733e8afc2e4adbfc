"""Bytes per trainable parameter of gradients and optimizer states, and what the step needs on top."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import UsageError
from core.memory.figure import Figure, figure
from core.memory.setting import Setting
from core.memory.weights import trainable_bytes
from core.models.architecture import Architecture


@dataclass(frozen=True, slots=True)
class Optimizer:
    """State per trainable parameter.

    `states` counts copies in the parameter's dtype; `fixed` are bytes whatever the dtype. `foreach` copies
    stand beside everything during the step; `largest` are bytes per element of the largest tensor.
    """

    states: float = 0.0
    fixed: float = 0.0
    foreach: float = 0.0
    largest_fp32: float = 0.0
    largest_16bit: float = 0.0
    paged: bool = False
    eight_bit: bool = False
    source: str = "torch: states take the parameter's dtype"


EIGHT_BIT = 2 + 2 * 4 / 256  # two uint8 states and their fp32 block scales (256 values each)
BNB = "bitsandbytes optim/optimizer.py: two 8-bit states, one fp32 scale per 256"

OPTIMIZERS: dict[str, Optimizer] = {
    "adamw_torch_fused": Optimizer(states=2),
    "adamw_torch": Optimizer(states=2, foreach=1),
    "adamw_torch_for_loop": Optimizer(states=2, largest_fp32=8, largest_16bit=4),
    "adamw_hf": Optimizer(states=2, foreach=1),
    "adamw_bnb_8bit": Optimizer(fixed=EIGHT_BIT, eight_bit=True, source=BNB),
    "adamw_8bit": Optimizer(fixed=EIGHT_BIT, eight_bit=True, source=BNB),
    "paged_adamw_8bit": Optimizer(fixed=EIGHT_BIT, eight_bit=True, paged=True, source=BNB),
    "paged_adamw": Optimizer(fixed=8, paged=True, source=BNB),
    "paged_adamw_32bit": Optimizer(fixed=8, paged=True, source=BNB),
    "sgd": Optimizer(source="torch SGD without momentum holds no state"),
    "sgd_momentum": Optimizer(states=1),
    "adafactor": Optimizer(
        fixed=0.002, largest_fp32=8, largest_16bit=16, source="transformers Adafactor: factored second moment"
    ),
    "muon": Optimizer(
        states=1,
        largest_fp32=8.5,
        largest_16bit=6.5,
        source="torch.optim.Muon, AdamW for embeddings and norms",
    ),
    "lion_8bit": Optimizer(fixed=1 + 4 / 256, eight_bit=True, source=BNB),
    "paged_lion_8bit": Optimizer(fixed=1 + 4 / 256, eight_bit=True, paged=True, source=BNB),
    "lion_32bit": Optimizer(fixed=4, source=BNB),
    "rmsprop": Optimizer(states=1, foreach=1),
    "adagrad": Optimizer(states=1, foreach=1),
}


def optimizer_named(name: str) -> Optimizer:
    """The optimizer's row of the table. Raises UsageError for a name that is not in it."""
    try:
        return OPTIMIZERS[name]
    except KeyError:
        raise UsageError(
            f"the memory of optimizer {name!r} is not known",
            where="training.optimizer",
            fix="plan with one of: " + ", ".join(sorted(OPTIMIZERS)),
        ) from None


def gradient_figure(setting: Setting) -> Figure:
    """One gradient per trainable parameter in its own dtype."""
    parts = trainable_bytes(setting)
    return figure(
        "gradients",
        sum(count * size for count, size in parts),
        " + ".join(f"{count:,} x {size} B" for count, size in parts),
        "torch: a gradient has its parameter's dtype",
    )


def state_figure(setting: Setting, architecture: Architecture) -> Figure:
    """Optimizer states, made in the first step and kept."""
    optimizer = optimizer_named(setting.optimizer)
    parts = trainable_bytes(setting)
    master = setting.strategy.startswith("zero")

    def each(size: int) -> float:
        # DeepSpeed keeps an fp32 copy of 16-bit parameters, and its states are fp32.
        if master and size == 2:
            return 4 + optimizer.states * 4 + optimizer.fixed
        return optimizer.states * size + optimizer.fixed

    value = sum(count * each(size) for count, size in parts)
    formula = " + ".join(f"{count:,} x {each(size):g} B" for count, size in parts)
    formula += " with DeepSpeed's fp32 copy" if master and any(size == 2 for _, size in parts) else ""
    embedding = architecture.parameters.embedding if setting.adapted.embedding_trains else 0
    if optimizer.eight_bit and embedding:
        # transformers registers a 32-bit override for every nn.Embedding, whatever the optimizer's name says.
        value += embedding * (8 - optimizer.fixed)
        formula += f" + embedding {embedding:,} x {8 - optimizer.fixed:g} B more (kept in 32 bit)"
    return figure("optimizer", value, formula, optimizer.source)


def step_figure(setting: Setting) -> Figure:
    """What `optimizer.step()` needs beside weights, gradients and states."""
    optimizer = optimizer_named(setting.optimizer)
    parts = trainable_bytes(setting)
    if optimizer.foreach:
        return figure(
            "optimizer temporaries",
            sum(count * size * optimizer.foreach for count, size in parts),
            " + ".join(f"{count:,} x {size * optimizer.foreach:g} B" for count, size in parts),
            "torch foreach: one parameter-sized list of intermediates",
        )
    largest = setting.adapted.largest_trained
    size = (
        setting.weight
        if setting.trains_base
        else setting.saved
        if setting.adapted.saved_whole
        else setting.adapter
    )
    each = optimizer.largest_fp32 if size == 4 else optimizer.largest_16bit
    return figure(
        "optimizer temporaries",
        largest * each,
        f"largest tensor {largest:,} x {each:g} B" if each else "fused: updated in place",
        optimizer.source,
    )
