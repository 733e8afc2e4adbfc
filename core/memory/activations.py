"""Bytes per token that one block saves for its backward pass, from the operations that save them.

The sums equal counts of the real model code under fake tensors (see `core.memory.trace`); for a Llama block
they are the closed forms of docs/memory.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.memory.block import Block, Group
from core.memory.setting import Setting
from core.models.architecture import Architecture, Linear

TRACED = "counted on the real model code under fake tensors"


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes per token of one kind of saved tensor, and the sum in words."""

    category: str
    per_token: float
    words: str


def saved_parts(setting: Setting, architecture: Architecture, block: Block) -> list[Part]:
    """What a block saves for backward, in bytes per token."""
    return [
        *_norm_parts(setting, architecture, block),
        *_attention_parts(setting, architecture),
        *_mlp_parts(setting, architecture, block),
        *_input_parts(setting, block),
    ]


def saved_per_token(setting: Setting, architecture: Architecture, block: Block) -> float:
    return sum(part.per_token for part in saved_parts(setting, architecture, block))


def weight_casts(setting: Setting, block: Block) -> int:
    """Bytes of the 16-bit weight copies one block saves when fp32 weights run under autocast."""
    if not setting.casts_weights or setting.quantization != "none":
        return 0
    return setting.autocast * block.linear_parameters


def _norm_parts(setting: Setting, architecture: Architecture, block: Block) -> list[Part]:
    h, norms = architecture.hidden_size, block.norms
    trains = setting.adapted.base_trainable and setting.adapted.method == "full"
    if block.layer_norm:
        # The fused kernel saves its input (the residual itself, once per block for a parallel block).
        size = setting.residual * norms
        return [Part("norms", size * h, f"{norms} LayerNorms x {setting.residual} B x h {h:,}")]
    size = 4  # the fp32 copy; the residual itself where it is fp32 already
    if trains:
        size += 4 if block.norm_in_fp32 else max(setting.residual, 2)
    each = size * h + 4
    parts = [Part("norms", norms * each, f"{norms} norms x ({size} B x h {h:,} + 4 B)")]
    if architecture.qk_norm:
        width = (architecture.heads + architecture.kv_heads) * architecture.head_dim
        heads = architecture.heads + architecture.kv_heads
        bytes_each = 6 if trains else 4
        parts.append(
            Part("norms", bytes_each * width + 4 * heads, f"query and key norm {bytes_each} B x {width:,}")
        )
    return parts


def _attention_parts(setting: Setting, architecture: Architecture) -> list[Part]:
    c, d = setting.compute, architecture.head_dim
    q, kv = architecture.heads * d, architecture.kv_heads * d
    keys = attended(setting)
    if setting.attention == "eager":
        scores = architecture.heads * keys
        per_score = 4 + (c if c != 4 else 0)
        return [
            Part("attention", 3 * c * q, f"q, expanded k and v: 3 x {c} B x {q:,}"),
            Part(
                "attention",
                per_score * scores,
                f"scores {per_score} B x {architecture.heads} heads x {keys:,} keys",
            ),
        ]
    base = Part("attention", c * (2 * q + 2 * kv), f"q, k, v, output: {c} B x (2 x {q:,} + 2 x {kv:,})")
    sums = Part("attention", 4 * architecture.heads, f"log-sum-exp 4 B x {architecture.heads} heads")
    if setting.attention != "sdpa with mask":
        return [base, sums]
    expanded = c * 2 * (q - kv)
    return [
        base,
        sums,
        Part("attention", expanded, f"k and v expanded to all heads: 2 x {c} B x ({q:,} - {kv:,})"),
        Part("attention", c * keys, f"mask as bias {c} B x {keys:,} keys"),
    ]


def attended(setting: Setting) -> int:
    """Keys one query is scored against. The score matrix is square even where a window masks most of it."""
    return setting.tokens // max(setting.rows_per_pass, 1)


def _mlp_parts(setting: Setting, architecture: Architecture, block: Block) -> list[Part]:
    c = setting.compute
    group = block.group("mlp out")
    width = group.width if group is not None else architecture.intermediate_size
    uses = architecture.experts_per_token if architecture.experts else 1
    if architecture.experts and architecture.parameters.experts:
        width = _expert_width(architecture)
    if architecture.gated_mlp:
        words = f"gate, activation, up: 3 x {c} B x {width:,}"
        size = 3 * c * width
    else:
        words = f"before the activation: {c} B x {width:,}"
        size = c * width
    if uses > 1:
        words += f" x {uses} experts per token"
    return [Part("activations", size * uses, words)]


def _expert_width(architecture: Architecture) -> int:
    """Width of one routed expert, from the count of all of them (three matrices each)."""
    matrices = 3 if architecture.gated_mlp else 2
    per_layer = architecture.parameters.experts / max(architecture.layers, 1)
    return round(per_layer / (matrices * architecture.experts * architecture.hidden_size))


def _input_parts(setting: Setting, block: Block) -> list[Part]:
    adapted = {item.name.rpartition(".")[2] for item in setting.adapted.linears}
    parts = []
    for group in block.groups:
        targets = [item for item in group.linears if item.name.rpartition(".")[2] in adapted]
        size, words = _saved_input(setting, group, len(targets))
        if size:
            parts.append(Part("activations", size, f"input of {group.place}: {words}"))
        if targets:
            parts.append(_rank_part(setting, targets))
            if setting.adapted.method == "dora":
                parts.append(_dora_part(setting, targets))
            mask = _dropout_bytes(setting)
            if mask:
                parts.append(
                    Part(
                        "adapter activations",
                        mask * group.width * len(targets),
                        f"dropout masks: {len(targets)} x {mask} B x {group.width:,}",
                    )
                )
    return parts


def _saved_input(setting: Setting, group: Group, targets: int) -> tuple[float, str]:
    """Bytes per token kept of one input that several linears share."""
    c, width, kept = setting.compute, group.width, _kept_already(setting, group)
    if setting.trains_base:
        if setting.casts_weights and group.place.endswith(" in"):  # the others are 16 bit already
            count = len(group.linears)
            return c * width * count, f"{count} casts x {c} B x {width:,}"
        return (0, "") if kept else (c * width, f"{c} B x {width:,}")
    shared = 0 if kept else c * width
    base = shared if setting.quantization == "int8" else 0
    if not targets:
        return base, f"{c} B x {width:,}"
    own_copies = setting.dropout > 0 or setting.adapter > c  # PEFT casts the input per target, or drops it
    if own_copies:
        each = setting.autocast or max(setting.adapter, c)
        return base + each * width * targets, f"{targets} copies x {each} B x {width:,}"
    return shared, f"{c} B x {width:,}, shared by {targets} targets"


def _kept_already(setting: Setting, group: Group) -> bool:
    """Flash and SDPA save their output, which is the very input of the projection after them."""
    return group.place == "attention out" and setting.attention != "eager"


def _rank_part(setting: Setting, targets: list[Linear]) -> Part:
    each = setting.autocast or max(setting.adapter, setting.compute)
    rank = setting.adapted.rank
    return Part(
        "adapter activations", each * rank * len(targets), f"rank {rank} x {each} B x {len(targets)} targets"
    )


def _dora_part(setting: Setting, targets: list[Linear]) -> Part:
    """DoRA scales the base's result and the adapter's by a trained vector, so both are saved."""
    width = sum(item.outputs for item in targets)
    return Part(
        "adapter activations",
        2 * setting.compute * width,
        f"DoRA: 2 results x {setting.compute} B x {width:,}",
    )


def _dropout_bytes(setting: Setting) -> int:
    """CUDA keeps one byte per element; the CPU keeps a mask of the input's own type."""
    if not setting.dropout:
        return 0
    return 1 if setting.device == "cuda" else setting.adapter
