"""What DoRA needs in every forward pass to find the length of its weights' columns."""

from __future__ import annotations

from core.memory.activations import TRACED, saved_before
from core.memory.block import Block, place_of
from core.memory.figure import Figure, figure, total
from core.memory.setting import Setting
from core.models.architecture import Architecture, Linear

SOURCE = "PEFT tuners/lora/dora.py; " + TRACED


def dora_moment(setting: Setting, architecture: Architecture, block: Block, stream: float) -> list[Figure]:
    """The worst moment of a DoRA layer's forward: what the block has saved by then, and the norm's tensors.

    B A is made by sending an identity matrix through the adapter; W + s B A is made for its norm; the result is
    scaled in fp32. Of gradients only that of the residual stream is under way, `stream` bytes per unit of h, so this
    stands beside the block's backward pass, not on top of it.
    """
    adapted = {item.name.rpartition(".")[2] for item in setting.adapted.linears}
    targets = [
        linear
        for group in block.groups
        for linear in group.linears
        if linear.name.rpartition(".")[2] in adapted
    ]
    moments = [_at(setting, architecture, block, linear, stream) for linear in targets]
    return max(moments, key=total, default=[])


def _at(
    setting: Setting, architecture: Architecture, block: Block, linear: Linear, stream: float
) -> list[Figure]:
    tokens, a, c = setting.tokens, setting.adapter, setting.compute
    x, y, wide = linear.inputs, linear.outputs, max(setting.adapter, setting.compute)
    name = linear.name.rpartition(".")[2]
    saved = [
        figure(part.category, tokens * part.per_token, f"{tokens:,} tokens x ({part.words})", TRACED)
        for part in (
            saved_before(setting, architecture, block, place_of(linear)) if setting.checkpointing else ()
        )
    ]
    cast = (a, f" + {a} B cast of the input x {x:,}") if a > c else (0, "")
    moments = (
        figure(
            "block working set",
            (a + c) * x * x + c * x * y + tokens * cast[0] * x,
            f"DoRA at {name}: identity {x:,}^2 x ({a} + {c}) B and B A {x:,} x {y:,} x {c} B, {tokens:,} tokens x (0{cast[1]})",
            SOURCE,
        ),
        figure(
            "block working set",
            c * x * x + 4 * wide * x * y + tokens * cast[0] * x,
            f"DoRA at {name}: W + s B A {x:,} x {y:,} x 4 x {wide} B and identity {x:,}^2 x {c} B, {tokens:,} tokens x (0{cast[1]})",
            SOURCE,
        ),
        figure(
            "block working set",
            c * x * x + 2 * wide * x * y + tokens * (cast[0] * x + 3 * wide * y + 2 * c * y + c * x),
            f"DoRA at {name}: W and B A {x:,} x {y:,} x 2 x {wide} B, identity {x:,}^2 x {c} B, "
            f"{tokens:,} tokens x (y {y:,} x (3 x {wide} + 2 x {c}) B + {c} B x {x:,}{cast[1]})",
            SOURCE,
        ),
    )  # fmt: skip
    h = architecture.hidden_size
    gradient = figure(
        "block working set",
        tokens * stream * h,
        f"gradient of the residual stream {tokens:,} tokens x {stream:g} x h {h:,}",
        TRACED,
    )
    return [*saved, gradient, max(moments, key=lambda one: one.bytes)]
