"""Which attention every layer uses, from the completed config."""

from __future__ import annotations

from typing import Any

from core.models.architecture import LayerKind

_BY_NAME: dict[str, LayerKind] = {
    "full_attention": "full",
    "attention": "full",
    "sliding_attention": "sliding",
    "local_attention": "sliding",
    "chunked_attention": "chunked",
    "linear_attention": "linear",
    "mamba": "linear",
    "conv": "linear",
    "recurrent": "linear",
}

# Every layer slides once the config names a window.
_ALL_SLIDING = frozenset({"ministral", "mistral", "mixtral", "phi3", "phimoe", "starcoder2"})
# Families whose k-th, 2k-th, ... layer is full and the others slide, and their k.
_EVERY = {
    "vaultgemma": 2,
    "gemma2": 2,
    "gemma3_text": 6,
    "cohere2": 4,
    "olmo3": 4,
    "gpt_oss": 2,
    "exaone4": 4,
}


def layer_kinds(v: dict[str, Any]) -> tuple[LayerKind, ...]:
    """One kind per layer."""
    layers = v["num_hidden_layers"]
    if v.get("kv_lora_rank"):
        return ("mla",) * layers
    family, window = v["model_type"], window_of(v)
    named = v.get("layer_types")
    if named:
        kinds = tuple(_BY_NAME.get(name, "full") for name in named)
        return kinds if window or "local_attention" in named else tuple(_unslid(kind) for kind in kinds)
    if family in _ALL_SLIDING:
        return ("sliding" if window else "full",) * layers
    if family in _EVERY and window:
        every = v.get("sliding_window_pattern") or _EVERY[family]
        if isinstance(every, int):
            return tuple("sliding" if (index + 1) % every else "full" for index in range(layers))
    if family == "cwm" and window:
        return tuple("sliding" if index % 4 else "full" for index in range(layers))
    if family == "qwen3_moe":
        return ("sliding" if v.get("use_sliding_window") and window else "full",) * layers
    if family == "qwen2_moe":
        first = v["max_window_layers"] if v.get("use_sliding_window") else 0
        return tuple("full" if index % 2 or index >= first else "sliding" for index in range(layers))
    if family == "dots1":
        first = v["max_window_layers"] if window else layers
        return tuple("sliding" if index >= first else "full" for index in range(layers))
    if v.get("use_sliding_window") and window:
        if family == "smollm3":
            rope = v.get("no_rope_layers") or _smollm3_rope(v)
            return tuple("full" if has_rope else "sliding" for has_rope in rope)
        first = v.get("max_window_layers") or 0
        return tuple("sliding" if index >= first else "full" for index in range(layers))
    return ("full",) * layers


def window_of(v: dict[str, Any]) -> int | None:
    """The sliding window in tokens, None where the config has none or switches it off."""
    window = v.get("sliding_window")
    return window if window and v.get("use_sliding_window") is not False else None


def _unslid(kind: LayerKind) -> LayerKind:
    return "full" if kind == "sliding" else kind


def _smollm3_rope(v: dict[str, Any]) -> list[int]:
    return [int((index + 1) % v["no_rope_layer_interval"] != 0) for index in range(v["num_hidden_layers"])]


def rope_in_words(v: dict[str, Any]) -> str:
    """The scaling of rotary positions, for example "llama3 x8 from 8192"; empty without one."""
    scaling = v.get("rope_scaling") or v.get("rope_parameters") or {}
    if isinstance(scaling.get("full_attention"), dict):
        scaling = scaling["full_attention"]
    kind = scaling.get("rope_type") or scaling.get("type") or "default"
    if kind == "default":
        return ""
    words = [str(kind)]
    if scaling.get("factor"):
        words.append(f"x{scaling['factor']:g}")
    original = scaling.get("original_max_position_embeddings") or v.get("original_max_position_embeddings")
    if original:
        words.append(f"from {original}")
    return " ".join(words)
