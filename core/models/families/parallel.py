"""Families whose attention and MLP read the same normed input."""

from __future__ import annotations

from typing import Literal

from core.models.families.blocks import (
    PRE_NORMS,
    Attention,
    Values,
    decoder,
    gated_mlp,
    head_dim,
    kv_heads,
    norms,
    plain_mlp,
)
from core.models.parts import Part, embedding, linear, norm


def _phi(v: Values) -> list[Part]:
    """Biases everywhere, on the head too; LayerNorms on queries and keys if asked."""

    def layer(v: Values, at: str, index: int) -> list[Part]:
        found = [
            *Attention(bias=True, output_bias=True, output="dense").parts(v, at),
            *plain_mlp(v, f"{at}.mlp", ("fc1", "fc2"), True),
            *norms(v, at, ("input_layernorm",), bias=True),
        ]
        if v.get("qk_layernorm"):
            size = v["hidden_size"] // v["num_attention_heads"]
            found += [
                norm(f"{at}.self_attn.{name}", size, bias=True) for name in ("q_layernorm", "k_layernorm")
            ]
        return found

    parts = decoder(v, layer, final_norm=False, head_bias=True)
    return [*parts[:-1], norm("model.final_layernorm", v["hidden_size"], bias=True), parts[-1]]


def _cohere(v: Values) -> list[Part]:
    """One norm per layer; query and key norms hold one vector per head."""

    def layer(v: Values, at: str, index: int) -> list[Part]:
        bias = bool(v["attention_bias"])
        normed: Literal["", "all"] = "all" if v.get("use_qk_norm") else ""
        return [
            *Attention(bias=bias, output_bias=bias, qk_norm=normed).parts(v, at),
            *gated_mlp(v, f"{at}.mlp"),
            *norms(v, at, ("input_layernorm",)),
        ]

    return decoder(v, layer)


def _stablelm(v: Values) -> list[Part]:
    def layer(v: Values, at: str, index: int) -> list[Part]:
        parallel = v["use_parallel_residual"]
        found = [
            *Attention(bias=bool(v["use_qkv_bias"])).parts(v, at),
            *gated_mlp(v, f"{at}.mlp"),
            *norms(v, at, ("input_layernorm",) if parallel else PRE_NORMS, bias=True),
        ]
        if v["qk_layernorm"]:
            for name, heads in (("q_layernorm", v["num_attention_heads"]), ("k_layernorm", kv_heads(v))):
                per_head = f"{at}.self_attn.{name}.norms"
                found += [norm(f"{per_head}.{head}", head_dim(v)) for head in range(heads)]
        return found

    return decoder(v, layer, norm_bias=True)


def _falcon(v: Values) -> list[Part]:
    """Fused q, k, v; the number of norms follows the generation of the architecture."""
    hidden, size = v["hidden_size"], v["hidden_size"] // v["num_attention_heads"]
    inner, bias = v.get("ffn_hidden_size") or 4 * hidden, bool(v["bias"])
    if v["new_decoder_architecture"]:
        fused = (2 * (v.get("num_kv_heads") or v["num_attention_heads"]) + v["num_attention_heads"]) * size
    else:
        fused = hidden + 2 * size if v["multi_query"] else 3 * hidden
    if not v["parallel_attn"]:
        layer_norms: tuple[str, ...] = ("post_attention_layernorm", "input_layernorm")
    elif (v.get("num_ln_in_parallel_attn") or (2 if v["new_decoder_architecture"] else 1)) == 2:
        layer_norms = ("ln_attn", "ln_mlp")
    else:
        layer_norms = ("input_layernorm",)
    found = [embedding("transformer.word_embeddings", v["vocab_size"], hidden)]
    for index in range(v["num_hidden_layers"]):
        at = f"transformer.h.{index}"
        found += [
            linear(f"{at}.self_attention.query_key_value", "attention", hidden, fused, bias),
            linear(f"{at}.self_attention.dense", "attention", hidden, hidden, bias),
            *plain_mlp(v, f"{at}.mlp", ("dense_h_to_4h", "dense_4h_to_h"), bias, inner),
            *norms(v, at, layer_norms, bias=True),
        ]
    found.append(norm("transformer.ln_f", hidden, bias=True))
    return [*found, linear("lm_head", "head", hidden, v["vocab_size"])]


def _gptj(v: Values) -> list[Part]:
    hidden, inner = v["n_embd"], v.get("n_inner") or 4 * v["n_embd"]
    found = [embedding("transformer.wte", v["vocab_size"], hidden)]
    for index in range(v["n_layer"]):
        at = f"transformer.h.{index}"
        found.append(norm(f"{at}.ln_1", hidden, bias=True))
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            found.append(linear(f"{at}.attn.{name}", "attention", hidden, hidden))
        found += plain_mlp(v, f"{at}.mlp", ("fc_in", "fc_out"), True, inner)
    found.append(norm("transformer.ln_f", hidden, bias=True))
    return [*found, linear("lm_head", "head", hidden, v["vocab_size"], True)]


FORMULAS = {
    "phi": _phi,
    "cohere": _cohere,
    "cohere2": _cohere,
    "stablelm": _stablelm,
    "falcon": _falcon,
    "gptj": _gptj,
}
