"""Configs of every decoder-only family, for the tests that compare formulas with the built model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from core.models.known import decoder_defaults, decoder_types

# Families whose default config transformers itself cannot build, and the keys that mend it.
MENDED: dict[str, dict[str, Any]] = {
    "ministral": {"head_dim": 128},
    "nemotron": {"head_dim": 128, "num_key_value_heads": 8},
    "dots1": {"n_routed_experts": 16, "n_shared_experts": 2, "num_experts_per_tok": 6},
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128},
}

# Families that the installed transformers cannot build from any default, with the reason it gives.
UNBUILDABLE = {
    "cohere_compass_text": "rope parameters per layer type are required",
    "dbrx": "its attention config has no rope_theta",
    "lfm2_moe": "layer_types is required",
    "qwen4_exp": "head counts are required",
    "qwen4_exp_text": "head counts are required",
}

_LAYER_KEY = {"mpt": "n_layers", "gpt_neo": "num_layers"}
_VALUES: dict[str, list[Any]] = {
    "num_key_value_heads": [1, None],
    "num_kv_heads": [1, 2],
    "head_dim": [96],
    "sliding_window": [None, 7],
    "intermediate_size": [640],
    "moe_intermediate_size": [640],
    "shared_expert_intermediate_size": [640],
    "n_inner": [640],
    "ffn_dim": [640],
    "ffn_hidden_size": [640],
    "num_local_experts": [3],
    "num_experts": [3],
    "n_routed_experts": [3],
    "first_k_dense_replace": [2],
    "decoder_sparse_step": [2],
    "max_window_layers": [2],
    "n_shared_experts": [2],
    "mlp_only_layers": [[1]],
    "q_lora_rank": [None],
    "max_position_embeddings": [999],
    "n_positions": [999],
    "vocab_size": [999],
    "num_ln_in_parallel_attn": [1, 2],
    "word_embed_proj_dim": [64],
    "layer_types": [["full_attention", "sliding_attention"] * 2],
    "hidden_act": ["relu", "xielu"],
}


def default_config(family: str) -> dict[str, Any]:
    return {"model_type": family, **MENDED.get(family, {})}


def buildable() -> list[str]:
    return [family for family in decoder_types() if family not in UNBUILDABLE]


def varied_configs(family: str) -> Iterator[dict[str, Any]]:
    """Four layers, and one key at a time set to another value: every switch and every size."""
    defaults = decoder_defaults(family)
    layer_key = _LAYER_KEY.get(family) or ("n_layer" if "n_layer" in defaults else "num_hidden_layers")
    small = {**default_config(family), layer_key: 4}
    if family == "gpt_neo":
        small["attention_types"] = [[["global", "local"], 2]]
    yield small
    for key, value in defaults.items():
        if isinstance(value, bool):
            yield {**small, key: not value}
        elif key in ("num_attention_heads", "n_head", "n_heads", "num_heads"):
            yield {**small, key: max(value // 2, 1)}
        else:
            yield from ({**small, key: other} for other in _VALUES.get(key, []))
