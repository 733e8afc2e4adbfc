"""DeepSeek and the families that took its attention (compressed keys and values) or its mixture."""

from __future__ import annotations

from core.models.families.blocks import PRE_NORMS, Attention, Values, decoder, gated_mlp, norms
from core.models.families.mixtures import experts
from core.models.parts import Part, linear, norm, weights


def _latent_attention(v: Values, at: str) -> list[Part]:
    """Multi-head latent attention: q through a low rank if `q_lora_rank`, k and v through `kv_lora_rank`."""
    hidden, heads, bias = v["hidden_size"], v["num_attention_heads"], bool(v["attention_bias"])
    query = heads * (v["qk_nope_head_dim"] + v["qk_rope_head_dim"])
    rank, values = v["kv_lora_rank"], heads * v["v_head_dim"]
    if v.get("q_lora_rank"):
        found = [
            linear(f"{at}.q_a_proj", "attention", hidden, v["q_lora_rank"], bias),
            norm(f"{at}.q_a_layernorm", v["q_lora_rank"]),
            linear(f"{at}.q_b_proj", "attention", v["q_lora_rank"], query),
        ]
    else:
        found = [linear(f"{at}.q_proj", "attention", hidden, query)]
    return [
        *found,
        linear(f"{at}.kv_a_proj_with_mqa", "attention", hidden, rank + v["qk_rope_head_dim"], bias),
        norm(f"{at}.kv_a_layernorm", rank),
        linear(f"{at}.kv_b_proj", "attention", rank, heads * v["qk_nope_head_dim"] + values),
        linear(f"{at}.o_proj", "attention", values, hidden, bias),
    ]


def _mixture(v: Values, at: str, index: int) -> list[Part]:
    """Dense for the first layers, then routed and shared experts."""
    if index < v["first_k_dense_replace"]:
        return gated_mlp(v, at, bias=bool(v.get("mlp_bias")))
    count, size = v["n_routed_experts"], v["moe_intermediate_size"]
    return [
        weights(f"{at}.gate", "router", count * v["hidden_size"]),
        experts(v, at, count, size),
        *gated_mlp(v, f"{at}.shared_experts", size * v["n_shared_experts"], bool(v.get("mlp_bias"))),
    ]


def _deepseek(v: Values) -> list[Part]:
    def layer(v: Values, at: str, index: int) -> list[Part]:
        return [
            *_latent_attention(v, f"{at}.self_attn"),
            *_mixture(v, f"{at}.mlp", index),
            *norms(v, at, PRE_NORMS),
        ]

    return decoder(v, layer)


def _youtu(v: Values) -> list[Part]:
    """The latent attention with a dense MLP."""

    def layer(v: Values, at: str, index: int) -> list[Part]:
        return [
            *_latent_attention(v, f"{at}.self_attn"),
            *gated_mlp(v, f"{at}.mlp"),
            *norms(v, at, PRE_NORMS),
        ]

    return decoder(v, layer)


def _glm4_moe(v: Values) -> list[Part]:
    """The mixture with plain attention."""

    def layer(v: Values, at: str, index: int) -> list[Part]:
        normed = "head" if v["use_qk_norm"] else ""
        return [
            *Attention(bias=bool(v["attention_bias"]), qk_norm=normed).parts(v, at),  # type: ignore[arg-type]
            *_mixture(v, f"{at}.mlp", index),
            *norms(v, at, PRE_NORMS),
        ]

    return decoder(v, layer)


def _dots1(v: Values) -> list[Part]:
    def layer(v: Values, at: str, index: int) -> list[Part]:
        bias = bool(v["attention_bias"])
        return [
            *Attention(bias=bias, output_bias=bias, qk_norm="head").parts(v, at),
            *_mixture(v, f"{at}.mlp", index),
            *norms(v, at, PRE_NORMS),
        ]

    return decoder(v, layer)


FORMULAS = {
    "deepseek_v2": _deepseek,
    "deepseek_v3": _deepseek,
    "youtu": _youtu,
    "glm4_moe": _glm4_moe,
    "dots1": _dots1,
}
