"""What each family needs beyond names when its weights become GGUF: metadata, and tensors that llama.cpp lays out otherwise.

Names come from the `gguf` library's own tensor map. The layouts follow llama.cpp's converter: Llama's rotary
halves are interleaved, Gemma's norms are stored with one added.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.errors import TunedeckError

# model_type of the config -> llama.cpp's architecture.
FAMILIES = {
    "llama": "llama",
    "mistral": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "gemma2": "gemma2",
    "gemma3_text": "gemma3",
    "phi3": "phi3",
}
ADDS_ONE_TO_NORMS = frozenset({"gemma2", "gemma3"})
ELSEWHERE = "convert the merged folder with llama.cpp's convert_hf_to_gguf.py: tunedeck merge writes one"


@dataclass(frozen=True, slots=True)
class Family:
    """How one model becomes GGUF. `lay_out` maps (tensor name, float32 array) to the array to be written."""

    arch: str
    lay_out: Callable[[str, Any], Any]
    extra: dict[str, Any]  # tensors that are in no checkpoint, name -> float32 array


def family_of(config: Any) -> Family:
    """The family of a text model's config. Raises TunedeckError for one that is not known here."""
    arch = FAMILIES.get(config.model_type)
    if arch is None:
        raise TunedeckError(
            f"GGUF is not written for the family {config.model_type}",
            where="export",
            fix=f"known: {', '.join(FAMILIES)}; {ELSEWHERE}",
        )
    rope = dict(config.rope_parameters or {})
    kind = rope.get("rope_type", "default")
    if kind not in ("default", "llama3", "linear"):
        raise TunedeckError(f"GGUF is not written for rope scaling {kind}", where="export", fix=ELSEWHERE)
    extra = {"rope_freqs.weight": llama3_frequencies(config, rope)} if kind == "llama3" else {}

    def lay_out(name: str, values: Any) -> Any:
        if arch == "llama" and name.endswith((".q_proj.weight", ".q_proj.bias")):
            return interleaved(values, config.num_attention_heads)
        if arch == "llama" and name.endswith((".k_proj.weight", ".k_proj.bias")):
            return interleaved(values, config.num_key_value_heads)
        if arch in ADDS_ONE_TO_NORMS and name.endswith("norm.weight"):
            return values + 1
        return values

    return Family(arch, lay_out, extra)


def interleaved(values: Any, heads: int) -> Any:
    """Rows of a rotary projection from halves (transformers) to pairs (llama.cpp)."""
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def llama3_frequencies(config: Any, rope: dict[str, Any]) -> Any:
    """Divisors of the rotary frequencies for Llama 3.1's scaling, as llama.cpp's converter computes them."""
    import numpy as np

    head_dim = head_size(config)
    original = rope["original_max_position_embeddings"]
    low, high = original / rope["low_freq_factor"], original / rope["high_freq_factor"]
    factors = []
    for index in range(0, head_dim, 2):
        wave_length = 2 * math.pi * float(rope["rope_theta"]) ** (index / head_dim)
        if wave_length < high:
            factors.append(1.0)
        elif wave_length > low:
            factors.append(float(rope["factor"]))
        else:
            smooth = (original / wave_length - rope["low_freq_factor"]) / (
                rope["high_freq_factor"] - rope["low_freq_factor"]
            )
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(factors, dtype=np.float32)


def head_size(config: Any) -> int:
    """Elements of one attention head."""
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def add_metadata(writer: Any, config: Any, family: Family, name: str) -> None:
    """The model's shape, as llama.cpp reads it."""
    rope = dict(config.rope_parameters or {})
    # Gemma 3 keeps one set of rotary parameters per kind of layer.
    whole = rope.get("full_attention", rope)
    writer.add_name(name)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_size(config))
    writer.add_value_length(head_size(config))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(head_size(config))
    writer.add_rope_freq_base(float(whole.get("rope_theta", 10000.0)))
    writer.add_vocab_size(config.vocab_size)
    if whole.get("rope_type") == "linear":
        from gguf import RopeScalingType

        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(whole["factor"]))
    if getattr(config, "sliding_window", None) and family.arch in ("gemma2", "gemma3", "phi3"):
        writer.add_sliding_window(config.sliding_window)
    if family.arch == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
