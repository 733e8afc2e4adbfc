"""The 4-bit layers bitsandbytes puts into a model. For processes that hold a model; imports bitsandbytes."""

from __future__ import annotations

from typing import Any


def four_bit_layers(model: Any) -> dict[str, Any]:
    """The 4-bit layers of a model by name."""
    from bitsandbytes.nn import Linear4bit

    return {name: layer for name, layer in model.named_modules() if isinstance(layer, Linear4bit)}


def keep_layout(model: Any) -> None:
    """Keep 4-bit layers as they were quantised.

    On processors with AVX512-BF16, bitsandbytes lays a 4-bit layer out anew when it first answers. Such a layer
    passes no gradient back, is changed by saving it, and cannot be made where the input is not a multiple of 64
    wide. Training that evaluates in between would go wrong without a word.
    """
    for layer in four_bit_layers(model).values():
        layer.support_avx512bf16_for_cpu = False
