"""The GPT-2 line: learned positions, LayerNorm with a shift, plain MLPs with biases."""

from __future__ import annotations

from core.models.families.blocks import Values, norms, plain_mlp
from core.models.parts import Part, embedding, linear, norm


def _gpt2(v: Values) -> list[Part]:
    """Conv1D layers: stored as [inputs, outputs], counted as linear layers are."""
    hidden, inner = v["n_embd"], v.get("n_inner") or 4 * v["n_embd"]
    found = [
        embedding("transformer.wte", v["vocab_size"], hidden),
        embedding("transformer.wpe", v["n_positions"], hidden),
    ]
    for index in range(v["n_layer"]):
        at = f"transformer.h.{index}"
        found += [
            norm(f"{at}.ln_1", hidden, bias=True),
            linear(f"{at}.attn.c_attn", "attention", hidden, 3 * hidden, True),
            linear(f"{at}.attn.c_proj", "attention", hidden, hidden, True),
            norm(f"{at}.ln_2", hidden, bias=True),
            linear(f"{at}.mlp.c_fc", "mlp", hidden, inner, True),
            linear(f"{at}.mlp.c_proj", "mlp", inner, hidden, True),
        ]
    found.append(norm("transformer.ln_f", hidden, bias=True))
    return [*found, linear("lm_head", "head", hidden, v["vocab_size"])]


def _gpt_neox(v: Values) -> list[Part]:
    hidden = v["hidden_size"]
    found = [embedding("gpt_neox.embed_in", v["vocab_size"], hidden)]
    for index in range(v["num_hidden_layers"]):
        at = f"gpt_neox.layers.{index}"
        bias = bool(v["attention_bias"])
        found += [
            *norms(v, at, ("input_layernorm", "post_attention_layernorm"), bias=True),
            linear(f"{at}.attention.query_key_value", "attention", hidden, 3 * hidden, bias),
            linear(f"{at}.attention.dense", "attention", hidden, hidden, bias),
            *plain_mlp(v, f"{at}.mlp", ("dense_h_to_4h", "dense_4h_to_h"), True),
        ]
    found.append(norm("gpt_neox.final_layer_norm", hidden, bias=True))
    return [*found, linear("lm_head", "head", hidden, v["vocab_size"])]


def _opt(v: Values) -> list[Part]:
    """The position table has two rows more than positions; small models project in and out."""
    hidden = v["hidden_size"]
    narrow = v.get("word_embed_proj_dim") or hidden
    bias, scaled = bool(v["enable_bias"]), bool(v["layer_norm_elementwise_affine"])
    at = "model.decoder"
    found = [
        embedding(f"{at}.embed_tokens", v["vocab_size"], narrow),
        embedding(f"{at}.embed_positions", v["max_position_embeddings"] + 2, hidden),
    ]
    if narrow != hidden:
        found.append(linear(f"{at}.project_out", "other", hidden, narrow))
        found.append(linear(f"{at}.project_in", "other", narrow, hidden))
    if scaled and v["do_layer_norm_before"] and not v.get("_remove_final_layer_norm"):
        found.append(norm(f"{at}.final_layer_norm", hidden, bias=True))
    for index in range(v["num_hidden_layers"]):
        layer = f"{at}.layers.{index}"
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            found.append(linear(f"{layer}.self_attn.{name}", "attention", hidden, hidden, bias))
        if scaled:
            found += norms(v, layer, ("self_attn_layer_norm", "final_layer_norm"), bias=True)
        found.append(linear(f"{layer}.fc1", "mlp", hidden, v["ffn_dim"], bias))
        found.append(linear(f"{layer}.fc2", "mlp", v["ffn_dim"], hidden, bias))
    return [*found, linear("lm_head", "head", narrow, v["vocab_size"])]


def _gpt_neo(v: Values) -> list[Part]:
    hidden, inner = v["hidden_size"], v.get("intermediate_size") or 4 * v["hidden_size"]
    found = [
        embedding("transformer.wte", v["vocab_size"], hidden),
        embedding("transformer.wpe", v["max_position_embeddings"], hidden),
    ]
    for index in range(v["num_layers"]):
        at = f"transformer.h.{index}"
        found.append(norm(f"{at}.ln_1", hidden, bias=True))
        for name, bias in (("k_proj", False), ("v_proj", False), ("q_proj", False), ("out_proj", True)):
            found.append(linear(f"{at}.attn.attention.{name}", "attention", hidden, hidden, bias))
        found.append(norm(f"{at}.ln_2", hidden, bias=True))
        found += plain_mlp(v, f"{at}.mlp", ("c_fc", "c_proj"), True, inner)
    found.append(norm("transformer.ln_f", hidden, bias=True))
    return [*found, linear("lm_head", "head", hidden, v["vocab_size"])]


def _gpt_bigcode(v: Values) -> list[Part]:
    """As GPT-2 with true linear layers; multi-query attention has one key and value head."""
    hidden, inner = v["n_embd"], v.get("n_inner") or 4 * v["n_embd"]
    keys = hidden // v["n_head"] if v["multi_query"] else hidden
    found = [
        embedding("transformer.wte", v["vocab_size"], hidden),
        embedding("transformer.wpe", v["n_positions"], hidden),
    ]
    for index in range(v["n_layer"]):
        at = f"transformer.h.{index}"
        found += [
            norm(f"{at}.ln_1", hidden, bias=True),
            linear(f"{at}.attn.c_attn", "attention", hidden, hidden + 2 * keys, True),
            linear(f"{at}.attn.c_proj", "attention", hidden, hidden, True),
            norm(f"{at}.ln_2", hidden, bias=True),
            *plain_mlp(v, f"{at}.mlp", ("c_fc", "c_proj"), True, inner),
        ]
    found.append(norm("transformer.ln_f", hidden, bias=True))
    return [*found, linear("lm_head", "head", hidden, v["vocab_size"])]


def _bloom(v: Values) -> list[Part]:
    """Positions by ALiBi, a norm right after the embedding."""
    hidden = v["hidden_size"]
    found = [
        embedding("transformer.word_embeddings", v["vocab_size"], hidden),
        norm("transformer.word_embeddings_layernorm", hidden, bias=True),
    ]
    for index in range(v["n_layer"]):
        at = f"transformer.h.{index}"
        found += [
            *norms(v, at, ("input_layernorm", "post_attention_layernorm"), bias=True),
            linear(f"{at}.self_attention.query_key_value", "attention", hidden, 3 * hidden, True),
            linear(f"{at}.self_attention.dense", "attention", hidden, hidden, True),
            *plain_mlp(v, f"{at}.mlp", ("dense_h_to_4h", "dense_4h_to_h"), True, 4 * hidden),
        ]
    found.append(norm("transformer.ln_f", hidden, bias=True))
    return [*found, linear("lm_head", "head", hidden, v["vocab_size"])]


def _mpt(v: Values) -> list[Part]:
    """Norms without a shift; the MLP is always four times as wide."""
    hidden = v["d_model"]
    found = [embedding("transformer.wte", v["vocab_size"], hidden)]
    for index in range(v["n_layers"]):
        at = f"transformer.blocks.{index}"
        found += [
            norm(f"{at}.norm_1", hidden),
            linear(f"{at}.attn.Wqkv", "attention", hidden, 3 * hidden),
            linear(f"{at}.attn.out_proj", "attention", hidden, hidden),
            norm(f"{at}.norm_2", hidden),
            *plain_mlp(v, f"{at}.ffn", ("up_proj", "down_proj"), False, 4 * hidden),
        ]
    found.append(norm("transformer.norm_f", hidden))
    return [*found, linear("lm_head", "head", hidden, v["vocab_size"])]


FORMULAS = {
    "gpt2": _gpt2,
    "gpt-sw3": _gpt2,
    "gpt_neo": _gpt_neo,
    "gpt_neox": _gpt_neox,
    "gpt_bigcode": _gpt_bigcode,
    "opt": _opt,
    "bloom": _bloom,
    "mpt": _mpt,
}
