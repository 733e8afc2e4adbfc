"""Mixtures of experts: the experts of a layer are one module with three-dimensional weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from core.models.families.blocks import PRE_NORMS, Attention, Values, decoder, gated_mlp, norms
from core.models.parts import Part, linear, weights


def experts(v: Values, at: str, count: int, size: int) -> Part:
    """All routed experts of one layer: `count` gated MLPs of inner size `size`, without biases."""
    return weights(f"{at}.experts", "experts", count * 3 * v["hidden_size"] * size)


def _all_layers(
    normed: Literal["", "head", "all"] = "", *, place: str = "mlp", router: str = "gate"
) -> Callable[[Values], list[Part]]:
    """Every layer a mixture of experts of size `intermediate_size` (Mixtral, OLMoE, Granite MoE, MiniMax)."""

    def formula(v: Values) -> list[Part]:
        def layer(v: Values, at: str, index: int) -> list[Part]:
            count, bias = v.get("num_local_experts") or v["num_experts"], bool(v.get("attention_bias"))
            return [
                *Attention(bias=bias, output_bias=bias, qk_norm=normed).parts(v, at),
                weights(f"{at}.{place}.{router}", "router", count * v["hidden_size"]),
                experts(v, f"{at}.{place}", count, v["intermediate_size"]),
                *norms(v, at, PRE_NORMS),
            ]

        return decoder(v, layer)

    return formula


def _phimoe(v: Values) -> list[Part]:
    """LayerNorms with a shift; the router is a plain linear layer."""

    def layer(v: Values, at: str, index: int) -> list[Part]:
        bias = bool(v["attention_bias"])
        return [
            *Attention(bias=bias, output_bias=bias).parts(v, at),
            linear(f"{at}.mlp.router", "router", v["hidden_size"], v["num_local_experts"]),
            experts(v, f"{at}.mlp", v["num_local_experts"], v["intermediate_size"]),
            *norms(v, at, PRE_NORMS, bias=True),
        ]

    return decoder(v, layer, norm_bias=True, head_bias=bool(v["lm_head_bias"]))


def _is_mixture(v: Values, index: int) -> bool:
    """Qwen's rule: every `decoder_sparse_step`-th layer that is not listed as dense."""
    dense = v.get("mlp_only_layers") or []
    return index not in dense and _count(v) > 0 and (index + 1) % v["decoder_sparse_step"] == 0


def _count(v: Values) -> int:
    return int(v.get("num_local_experts") or v.get("num_experts") or 0)


def _qwen2_moe(v: Values) -> list[Part]:
    """A shared expert beside the routed ones, with a gate of one output."""

    def layer(v: Values, at: str, index: int) -> list[Part]:
        found = Attention(bias=bool(v["qkv_bias"])).parts(v, at)
        if _is_mixture(v, index):
            found += [
                weights(f"{at}.mlp.gate", "router", _count(v) * v["hidden_size"]),
                experts(v, f"{at}.mlp", _count(v), v["moe_intermediate_size"]),
                *gated_mlp(v, f"{at}.mlp.shared_expert", v["shared_expert_intermediate_size"]),
                linear(f"{at}.mlp.shared_expert_gate", "mlp", v["hidden_size"], 1),
            ]
        else:
            found += gated_mlp(v, f"{at}.mlp")
        return found + norms(v, at, PRE_NORMS)

    return decoder(v, layer)


def _qwen3_moe(v: Values) -> list[Part]:
    def layer(v: Values, at: str, index: int) -> list[Part]:
        bias = bool(v["attention_bias"])
        found = Attention(bias=bias, output_bias=bias, qk_norm="head").parts(v, at)
        if _is_mixture(v, index):
            found += [
                weights(f"{at}.mlp.gate", "router", _count(v) * v["hidden_size"]),
                experts(v, f"{at}.mlp", _count(v), v["moe_intermediate_size"]),
            ]
        else:
            found += gated_mlp(v, f"{at}.mlp")
        return found + norms(v, at, PRE_NORMS)

    return decoder(v, layer)


def _gpt_oss(v: Values) -> list[Part]:
    """Experts and router have biases; attention has one learned sink per head."""

    def layer(v: Values, at: str, index: int) -> list[Part]:
        hidden, inner, count = v["hidden_size"], v["intermediate_size"], _count(v)
        bias = bool(v["attention_bias"])
        per_expert = hidden * 2 * inner + 2 * inner + inner * hidden + hidden
        return [
            *Attention(bias=bias, output_bias=bias).parts(v, at),
            weights(f"{at}.self_attn", "attention", v["num_attention_heads"]),
            weights(f"{at}.mlp.router", "router", count * hidden + count),
            weights(f"{at}.mlp.experts", "experts", count * per_expert),
            *norms(v, at, PRE_NORMS),
        ]

    return decoder(v, layer)


FORMULAS = {
    "mixtral": _all_layers(),
    "olmoe": _all_layers("all"),
    "minimax_m2": _all_layers("all"),
    "granitemoe": _all_layers(place="block_sparse_moe", router="router"),
    "phimoe": _phimoe,
    "qwen2_moe": _qwen2_moe,
    "qwen3_moe": _qwen3_moe,
    "gpt_oss": _gpt_oss,
}
