"""What the layers hold: activations kept for the backward pass, and one block while it is differentiated."""

from __future__ import annotations

from collections import Counter

from core.memory.activations import (
    TRACED,
    attended,
    saved_before,
    saved_in_softmax,
    saved_parts,
    saved_per_token,
    weight_casts,
)
from core.memory.block import Block, blocks_of, place_of, unique_blocks
from core.memory.dora import dora_moment
from core.memory.figure import Figure, figure, total
from core.memory.setting import Setting
from core.models.architecture import Architecture, Linear


def kept_activations(setting: Setting, architecture: Architecture) -> list[Figure]:
    """What the forward pass leaves for the backward pass.

    Layers below the first that trains leave nothing but their checkpoint, which torch keeps whether or not
    anything is recomputed from it.
    """
    tokens, layers = setting.tokens, architecture.layers
    if setting.checkpointing:
        per_token = setting.residual * architecture.hidden_size * layers
        return [
            figure(
                "checkpoints",
                tokens * per_token,
                f"{tokens:,} tokens x {layers} layers x h {architecture.hidden_size:,} x {setting.residual} B",
                "residual stream at each layer's entry",
            )
        ]
    counts = Counter(map(id, blocks_of(architecture)[setting.adapted.first_layer :]))
    figures = []
    for block in unique_blocks(architecture):
        count = counts[id(block)]
        if not count:
            continue
        for part in saved_parts(setting, architecture, block):
            words = f"{tokens:,} tokens x {count} layers x ({part.words})"
            figures.append(figure(part.category, tokens * part.per_token * count, words, TRACED))
        casts = weight_casts(setting, block)
        if casts:
            words = f"16-bit copies of the linears of {count} layers, {casts:,} B each"
            figures.append(figure("weight casts", casts * count, words, TRACED))
    return figures


def cached_casts(setting: Setting, architecture: Architecture) -> list[Figure]:
    """16-bit copies of the fp32 weights that train: autocast keeps them until the forward pass ends."""
    if not setting.trains_base or setting.strategy not in ("single", "ddp"):
        return []
    trained = blocks_of(architecture)[setting.adapted.first_layer :]
    casts = sum(weight_casts(setting, block) for block in trained)
    if not casts:
        return []
    words = f"16-bit copies of the linears of {len(trained)} layers, {casts:,} B"
    return [figure("weight casts", casts, words, "torch: autocast caches casts of leaf weights")]


def last_checkpoint(setting: Setting, architecture: Architecture) -> list[Figure]:
    """Checkpoints that are left when the first layer that trains is differentiated."""
    if not setting.checkpointing:
        return []
    left = setting.adapted.first_layer + 1
    per_token = setting.residual * architecture.hidden_size * left
    return [
        figure(
            "checkpoints",
            setting.tokens * per_token,
            f"{setting.tokens:,} tokens x {left} layer{'s' if left > 1 else ''} x h x {setting.residual} B",
            "residual stream at each layer's entry; torch keeps those of frozen layers too",
        )
    ]


def working_set(setting: Setting, architecture: Architecture) -> list[Figure]:
    """One block while it is differentiated: what it saves (recomputed), and what its backward needs on top."""
    blocks = unique_blocks(architecture)
    if not blocks:
        return []
    largest = max(blocks, key=lambda block: saved_per_token(setting, architecture, block))
    recomputed = _recomputed(setting, architecture, largest) if setting.checkpointing else []
    moment = max(
        _in_mlp(setting, architecture, blocks, recomputed),
        _in_softmax(setting, architecture, largest),
        _dequantising(setting, architecture, largest),
        dora_moment(setting, architecture, largest, transient(setting)[1])
        if setting.adapted.method == "dora"
        else [],
        key=total,
    )
    if setting.strategy == "fsdp" and setting.ranks > 1 and not setting.trains_base:
        return [*moment, _frozen_under_fsdp(setting, architecture)]
    return moment


def _in_mlp(
    setting: Setting, architecture: Architecture, blocks: tuple[Block, ...], recomputed: list[Figure]
) -> list[Figure]:
    """A block's backward at its MLP: all of the block is saved, and its widest linear at work."""
    widest, c = max(block.largest_linear for block in blocks), setting.compute
    figures = [*recomputed, _gradients_on_the_way(setting, architecture)]
    if not setting.checkpointing:
        figures.insert(0, last_norm(setting, architecture))
    if setting.trains_base:
        words = f"one weight gradient {widest:,} x {c} B"
        figures.append(figure("block working set", c * widest, words, TRACED))
    return figures


def _dequantising(setting: Setting, architecture: Architecture, block: Block) -> list[Figure]:
    """A block's widest 4-bit weight made whole, in the forward that comes before the block's backward."""
    if setting.quantization not in ("nf4", "fp4"):
        return []
    tokens, c, h = setting.tokens, setting.compute, architecture.hidden_size
    widest = max((linear for group in block.groups for linear in group.linears), key=_weight_size)
    saved = saved_before(setting, architecture, block, place_of(widest)) if setting.checkpointing else []
    stream = transient(setting)[1]
    return [
        *(
            figure(part.category, tokens * part.per_token, f"{tokens:,} tokens x ({part.words})", TRACED)
            for part in saved
        ),
        figure(
            "block working set",
            tokens * (stream * h + c * widest.outputs),
            f"{tokens:,} tokens x (gradient {stream:g} x h {h:,} + result {c} x {widest.outputs:,}) B",
            TRACED,
        ),
        figure(
            "dequantisation", c * _weight_size(widest), f"one linear of {_weight_size(widest):,} in {c} B",
            "bitsandbytes: training dequantises the whole weight, one at a time",
        ),
    ]  # fmt: skip


def _weight_size(linear: Linear) -> int:
    return linear.inputs * linear.outputs


def _in_softmax(setting: Setting, architecture: Architecture, block: Block) -> list[Figure]:
    """A block's backward inside eager attention's softmax: the MLP is done, the scores have gradients."""
    if setting.attention != "eager":
        return []
    tokens = setting.tokens
    scores = tokens * architecture.heads * attended(setting)
    words = f"gradient of the scores before and after the softmax: {scores:,} x (4 + 4) B"
    figures = [figure("block working set", 8 * scores, words, TRACED)]
    if not setting.checkpointing:
        return figures
    residual = tokens * setting.residual * architecture.hidden_size
    figures.append(
        figure("block working set", residual, f"gradient of the residual stream, {residual:,} B", TRACED)
    )
    for part in saved_in_softmax(setting, architecture, block):
        words = f"{tokens:,} tokens x ({part.words})"
        figures.append(figure(part.category, tokens * part.per_token, words, TRACED))
    casts = weight_casts(setting, block)
    if casts:
        figures.append(_casts_figure(casts))
    return figures


def _recomputed(setting: Setting, architecture: Architecture, block: Block) -> list[Figure]:
    tokens = setting.tokens
    figures = [
        figure(part.category, tokens * part.per_token, f"{tokens:,} tokens x ({part.words})", TRACED)
        for part in saved_parts(setting, architecture, block)
    ]
    casts = weight_casts(setting, block)
    if casts:
        figures.append(_casts_figure(casts))
    return figures


def _casts_figure(casts: int) -> Figure:
    return figure("weight casts", casts, f"16-bit copies of one block's linears, {casts:,} B", TRACED)


def last_norm(setting: Setting, architecture: Architecture) -> Figure:
    """What the last norm saves, beside the layers."""
    h, tokens = architecture.hidden_size, setting.tokens
    return figure(
        "activations", tokens * (6 * h + 12), f"last norm {tokens:,} tokens x (6 x {h:,} + 12) B", TRACED
    )


def _gradients_on_the_way(setting: Setting, architecture: Architecture) -> Figure:
    f_bytes, h_bytes = transient(setting)
    tokens, f, h = setting.tokens, architecture.intermediate_size, architecture.hidden_size
    return figure(
        "block working set",
        tokens * (f_bytes * f + h_bytes * h),
        f"{tokens:,} tokens x ({f_bytes:g} x f {f:,} + {h_bytes:g} x h {h:,}) B",
        TRACED,
    )


def _frozen_under_fsdp(setting: Setting, architecture: Architecture) -> Figure:
    extra = 2 * architecture.hidden_size * max(architecture.layers - 2, 0)
    return figure(
        "activations",
        setting.tokens * extra,
        f"FSDP with frozen weights: {setting.tokens:,} tokens x (L - 2) x 2 x h",
        "slope of published FSDP LoRA runs; cause not established",
    )


def transient(setting: Setting) -> tuple[float, float]:
    """Bytes per token of gradients alive at the worst moment of a block's backward, per unit of f and of h."""
    c = setting.compute
    if setting.trains_base or setting.adapter <= c or not _adapts_mlp(setting):
        return 2 * c, 2 * c
    if not setting.autocast:
        return 4, 14
    if not setting.casts_weights:
        return 6, 12
    return 6, 14


def _adapts_mlp(setting: Setting) -> bool:
    return any(place_of(linear).startswith("mlp") for linear in setting.adapted.linears)
