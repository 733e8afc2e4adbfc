"""Bytes per token that one block saves for its backward pass, from the operations that save them.

The sums equal counts of the real model code under fake tensors (see `core.memory.trace`); for a Llama block
they are the closed forms of docs/memory.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.memory.block import Block, Group, Place
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
        *_attention_parts(setting, architecture, block),
        *_mlp_parts(setting, architecture, block),
        *_input_parts(setting, block),
    ]


def saved_before(setting: Setting, architecture: Architecture, block: Block, place: Place) -> list[Part]:
    """What a block's forward has saved when it comes to the linears of `place`."""
    order: tuple[Place, ...] = ("attention in", "attention out", "mlp in", "mlp out")
    passed = order[: order.index(place)]
    in_mlp = place.startswith("mlp")
    norms = replace(block, norms=max(block.norms if in_mlp else block.norms // 2, 1))
    groups = replace(block, groups=tuple(group for group in block.groups if group.place in passed))
    return [
        *_norm_parts(setting, architecture, norms),
        *(_attention_parts(setting, architecture, block) if place != "attention in" else ()),
        *(_mlp_parts(setting, architecture, block) if place == "mlp out" else ()),
        *_input_parts(setting, groups),
    ]


def saved_in_softmax(setting: Setting, architecture: Architecture, block: Block) -> list[Part]:
    """What is left of a block when eager attention's softmax is differentiated: what came before it.

    The MLP, the 16-bit scores and v have had their backward; v's gradient stands in v's place.
    """
    c, q = setting.compute, architecture.heads * architecture.head_dim
    scores = architecture.heads * attended(setting)
    before = replace(
        block,
        norms=max(block.norms // 2, 1),
        drops_residual=False,
        groups=tuple(group for group in block.groups if group.place == "attention in"),
    )
    return [
        *_norm_parts(setting, architecture, before),
        Part("attention", 3 * c * q, f"q, k and the gradient of v: 3 x {c} B x {q:,}"),
        Part(
            "attention", 4 * scores, f"scores 4 B x {architecture.heads} heads x {attended(setting):,} keys"
        ),
        *_input_parts(setting, before),
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
    trains = setting.trains_base
    if block.layer_norm:
        # The fused kernel saves its input, which autocast makes an fp32 copy of.
        size = 4 if setting.autocast else setting.residual
        parts = [Part("norms", size * norms * h, f"{norms} LayerNorms x {size} B x h {h:,}")]
        if block.drops_residual:
            parts.append(
                Part("norms", 2 * _mask_bytes(setting, setting.compute) * h, f"2 dropout masks x h {h:,}")
            )
        return parts
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


def _attention_parts(setting: Setting, architecture: Architecture, block: Block) -> list[Part]:
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
    wide = _fused_parts(setting, block, q + kv)
    sums = Part("attention", 4 * architecture.heads, f"log-sum-exp 4 B x {architecture.heads} heads")
    if setting.attention != "sdpa with mask":
        return [base, sums, *wide]
    expanded = c * 2 * (q - kv)
    return [
        base,
        sums,
        *wide,
        Part("attention", expanded, f"k and v expanded to all heads: 2 x {c} B x ({q:,} - {kv:,})"),
        Part("attention", c * keys, f"mask as bias {c} B x {keys:,} keys"),
    ]


def _fused_parts(setting: Setting, block: Block, width: int) -> list[Part]:
    """v is a view of what one projection made, so q and k stay beside their rotated copies."""
    if not block.fused_qkv:
        return []
    c = setting.compute
    return [Part("attention", c * width, f"fused projection kept for v: {c} B x {width:,}")]


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
    elif block.relu:
        words = f"after the activation: {c} B x {width:,}"
        size = c * width
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
        if setting.adapted.method == "ia3" and targets:
            parts.append(_scaled_part(setting, group, targets))
            continue
        size, words = _saved_input(setting, block, group, len(targets))
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


def _scaled_part(setting: Setting, group: Group, targets: list[Linear]) -> Part:
    """IA3 multiplies what leaves a layer, or enters the MLP's last, by a trained vector: that is saved."""
    if group.place == "mlp out":
        c, width = (
            max(setting.compute, setting.adapter),
            group.width,
        )  # the input is cast to the vector's type
    else:
        c, width = setting.compute, sum(item.outputs for item in targets)
    return Part("adapter activations", c * width, f"IA3 scales {c} B x {width:,}")


def _saved_input(setting: Setting, block: Block, group: Group, targets: int) -> tuple[float, str]:
    """Bytes per token kept of one input that several linears share."""
    c, width, kept = setting.compute, group.width, _kept_already(setting, block, group)
    if setting.trains_base:
        if _cast_per_linear(setting, block) and group.place.endswith(" in"):  # the others are 16 bit already
            count = len(group.linears)
            return c * width * count, f"{count} casts x {c} B x {width:,}"
        return (0, "") if kept else (c * width, f"{c} B x {width:,}")
    shared = 0 if kept else c * width
    base = shared if setting.quantization == "int8" else 0
    if not targets:
        return base, f"{c} B x {width:,}"
    # PEFT casts the input per target, or drops it; autocast casts what an fp32 norm returns.
    fp32_norm = _cast_per_linear(setting, block) and group.place.endswith(" in")
    own_copies = setting.dropout > 0 or setting.adapter > c or fp32_norm
    if own_copies:
        each = setting.autocast or max(setting.adapter, c)
        return base + each * width * targets, f"{targets} copies x {each} B x {width:,}"
    return shared, f"{c} B x {width:,}, shared by {targets} targets"


def _cast_per_linear(setting: Setting, block: Block) -> bool:
    """A norm returns fp32 under autocast: with fp32 weights, and always for LayerNorm."""
    return setting.casts_weights or (block.layer_norm and bool(setting.autocast))


def _kept_already(setting: Setting, block: Block, group: Group) -> bool:
    """Flash and SDPA save their output, the very input of the projection after them, unless it was copied."""
    if group.place == "mlp out":
        return block.relu
    return group.place == "attention out" and setting.attention != "eager" and not block.fused_qkv


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
    return _mask_bytes(setting, setting.adapter) if setting.dropout else 0


def _mask_bytes(setting: Setting, element: int) -> int:
    """CUDA keeps one byte per element; the CPU keeps a mask of the input's own type."""
    return 1 if setting.device == "cuda" else element
