"""Mixtures of experts whose experts are one three-dimensional weight each for gate-and-up and for down."""

from __future__ import annotations

from core.models.families.blocks import PRE_NORMS, Attention, Values, decoder, norms
from core.models.parts import Part, weights


def experts(v: Values, at: str, count: int, size: int) -> Part:
    """All routed experts of one layer: `count` gated MLPs of inner size `size`, without biases."""
    return weights(f"{at}.experts", "experts", count * 3 * v["hidden_size"] * size)


def _mixtral(v: Values) -> list[Part]:
    def layer(v: Values, at: str, index: int) -> list[Part]:
        count = v["num_local_experts"]
        return [
            *Attention().parts(v, at),
            weights(f"{at}.mlp.gate", "router", count * v["hidden_size"]),
            experts(v, f"{at}.mlp", count, v["intermediate_size"]),
            *norms(v, at, PRE_NORMS),
        ]

    return decoder(v, layer)


FORMULAS = {"mixtral": _mixtral}
