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
from core.models.parts import Part, linear, weights


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


def _glm(layer_norms: tuple[str, ...]) -> Callable[[Values], list[Part]]:
    """Biases on q, k, v if asked, fused gate and up; GLM-4 norms twice as often."""

    def formula(v: Values) -> list[Part]:
        def layer(v: Values, at: str, index: int) -> list[Part]:
            hidden, inner = v["hidden_size"], v["intermediate_size"]
            return [
                *Attention(bias=bool(v["attention_bias"])).parts(v, at),
                linear(f"{at}.mlp.gate_up_proj", "mlp", hidden, 2 * inner),
                linear(f"{at}.mlp.down_proj", "mlp", inner, hidden),
                *norms(v, at, layer_norms),
            ]

        return decoder(v, layer)

    return formula


def _ungated(
    layer_norms: tuple[str, ...], *, normed: bool, norm_bias: bool
) -> Callable[[Values], list[Part]]:
    """An MLP of up and down alone (Arcee, Apertus, Nemotron)."""

    def formula(v: Values) -> list[Part]:
        def layer(v: Values, at: str, index: int) -> list[Part]:
            found = [
                *(_head_normed(v) if normed else _biased_if_asked(v)).parts(v, at),
                *plain_mlp(v, f"{at}.mlp", ("up_proj", "down_proj"), bool(v.get("mlp_bias"))),
                *norms(v, at, layer_norms, bias=norm_bias),
            ]
            if v.get("hidden_act") == "xielu":  # an activation with two weights of its own
                found.append(weights(f"{at}.mlp.act_fn", "mlp", 2))
            return found

        return decoder(v, layer, norm_bias=norm_bias)

    return formula


def _seed(v: Values) -> Attention:
    return Attention(bias=bool(v["attention_bias"]), output_bias=bool(v["attention_out_bias"]))


def _helium(v: Values) -> Attention:
    """The output projection is square whatever the heads make."""
    return Attention(bias=bool(v["attention_bias"]), square_output=True)


def _ernie(v: Values) -> list[Part]:
    """One key, `use_bias`, for every layer."""
    bias = bool(v["use_bias"])

    def layer(v: Values, at: str, index: int) -> list[Part]:
        return [
            *Attention(bias=bias, output_bias=bias).parts(v, at),
            *gated_mlp(v, f"{at}.mlp", bias=bias),
            *norms(v, at, PRE_NORMS),
        ]

    return decoder(v, layer)


def _hyperclovax(v: Values) -> list[Part]:
    extra = ("post_norm1", "post_norm2") if v["use_post_norm"] else ()
    return _with(_biased_if_asked, layer_norms=(*PRE_NORMS, *extra), mlp_bias=True)(v)


FORMULAS = {
    "llama": _with(_biased_if_asked, mlp_bias=True),
    "mistral": _with(_plain),
    "ministral": _with(_plain),
    "ministral3": _with(_plain),
    "qwen2": _with(_qkv_biased),
    "qwen3": _with(_head_normed),
    "gemma": _with(_biased_if_asked),
    "gemma2": _with(_biased_if_asked, layer_norms=SANDWICH_NORMS),
    "gemma3_text": _with(_head_normed, layer_norms=SANDWICH_NORMS),
    "vaultgemma": _with(_biased_if_asked, layer_norms=("input_layernorm", "pre_feedforward_layernorm")),
    "granite": _with(_biased_if_asked, mlp_bias=True),
    "smollm3": _with(_biased_if_asked, mlp_bias=True),
    "cwm": _with(_plain, mlp_bias=True),
    "internlm3": _with(_biased_if_asked, mlp_bias=True),
    "iquestcoder": _with(_biased_if_asked, mlp_bias=True),
    "helium": _with(_helium, mlp_bias=True),
    "seed_oss": _with(_seed, mlp_bias=True),
    "exaone4": _with(lambda v: Attention(qk_norm="head"), layer_norms=POST_NORMS),
    "hyperclovax": _hyperclovax,
    "ernie4_5": _ernie,
    "glm": _glm(PRE_NORMS),
    "glm4": _glm((*PRE_NORMS, "post_self_attn_layernorm", "post_mlp_layernorm")),
    "arcee": _ungated(PRE_NORMS, normed=False, norm_bias=False),
    "apertus": _ungated(("attention_layernorm", "feedforward_layernorm"), normed=True, norm_bias=False),
    "nemotron": _ungated(PRE_NORMS, normed=False, norm_bias=True),
    "olmo": _olmo,
    "olmo2": _with(_wholly_normed, layer_norms=POST_NORMS),
    "olmo3": _with(_wholly_normed, layer_norms=POST_NORMS),
    "phi3": _phi3,
    "starcoder2": _starcoder2,
}
