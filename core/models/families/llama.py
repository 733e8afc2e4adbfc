"""Llama and the families that differ from it by biases, norms or the output projection's name."""

from __future__ import annotations

from collections.abc import Callable

from core.models.families.blocks import (
    POST_NORMS,
    PRE_NORMS,
    SANDWICH_NORMS,
    Attention,
    Values,
    decoder,
    gated_mlp,
    head_dim,
    kv_heads,
    norms,
    plain_mlp,
)
from core.models.parts import Part, linear


def _with(
    attention: Callable[[Values], Attention],
    *,
    layer_norms: tuple[str, ...] = PRE_NORMS,
    mlp_bias: bool = False,
) -> Callable[[Values], list[Part]]:
    """A llama-shaped formula: this attention, these norms, a gated MLP."""

    def formula(v: Values) -> list[Part]:
        def layer(v: Values, at: str, index: int) -> list[Part]:
            bias = mlp_bias and bool(v.get("mlp_bias"))
            return [
                *attention(v).parts(v, at),
                *gated_mlp(v, f"{at}.mlp", bias=bias),
                *norms(v, at, layer_norms),
            ]

        return decoder(v, layer)

    return formula


def _plain(v: Values) -> Attention:
    return Attention()


def _biased_if_asked(v: Values) -> Attention:
    bias = bool(v.get("attention_bias"))
    return Attention(bias=bias, output_bias=bias)


def _qkv_biased(v: Values) -> Attention:
    return Attention(bias=True)


def _head_normed(v: Values) -> Attention:
    bias = bool(v.get("attention_bias"))
    return Attention(bias=bias, output_bias=bias, qk_norm="head")


def _wholly_normed(v: Values) -> Attention:
    bias = bool(v.get("attention_bias"))
    return Attention(bias=bias, output_bias=bias, qk_norm="all")


def _olmo(v: Values) -> list[Part]:
    """OLMo's LayerNorm has no weights."""

    def layer(v: Values, at: str, index: int) -> list[Part]:
        return [*_biased_if_asked(v).parts(v, at), *gated_mlp(v, f"{at}.mlp")]

    return decoder(v, layer, final_norm=False)


def _phi3(v: Values) -> list[Part]:
    """Fused q, k, v and fused gate and up."""

    def layer(v: Values, at: str, index: int) -> list[Part]:
        hidden, inner, queries = (
            v["hidden_size"],
            v["intermediate_size"],
            v["num_attention_heads"] * head_dim(v),
        )
        return [
            linear(f"{at}.self_attn.o_proj", "attention", queries, hidden),
            linear(f"{at}.self_attn.qkv_proj", "attention", hidden, queries + 2 * kv_heads(v) * head_dim(v)),
            linear(f"{at}.mlp.gate_up_proj", "mlp", hidden, 2 * inner),
            linear(f"{at}.mlp.down_proj", "mlp", inner, hidden),
            *norms(v, at, PRE_NORMS),
        ]

    return decoder(v, layer)


def _starcoder2(v: Values) -> list[Part]:
    """LayerNorm with a shift, a plain MLP, biases where `use_bias` says."""

    def layer(v: Values, at: str, index: int) -> list[Part]:
        bias = bool(v["use_bias"])
        return [
            *Attention(bias=bias, output_bias=bias).parts(v, at),
            *plain_mlp(v, f"{at}.mlp", ("c_fc", "c_proj"), bias),
            *norms(v, at, PRE_NORMS, bias=True),
        ]

    return decoder(v, layer, norm_bias=True)


FORMULAS = {
    "llama": _with(_biased_if_asked, mlp_bias=True),
    "mistral": _with(_plain),
    "qwen2": _with(_qkv_biased),
    "qwen3": _with(_head_normed),
    "gemma": _with(_biased_if_asked),
    "gemma2": _with(_biased_if_asked, layer_norms=SANDWICH_NORMS),
    "gemma3_text": _with(_head_normed, layer_norms=SANDWICH_NORMS),
    "granite": _with(_biased_if_asked, mlp_bias=True),
    "smollm3": _with(_biased_if_asked, mlp_bias=True),
    "olmo": _olmo,
    "olmo2": _with(_wholly_normed, layer_norms=POST_NORMS),
    "olmo3": _with(_wholly_normed, layer_norms=POST_NORMS),
    "phi3": _phi3,
    "starcoder2": _starcoder2,
}
