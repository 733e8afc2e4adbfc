"""Architectures the memory tests share, from the public config values of well-known models."""

from __future__ import annotations

from functools import cache
from typing import Any

from core.models.architecture import Architecture
from core.models.architecture_of import read_architecture

LLAMA_3_8B = {
    "model_type": "llama", "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "max_position_embeddings": 8192, "tie_word_embeddings": False,
}  # fmt: skip
QWEN3_1_7B = {
    "model_type": "qwen3", "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 6144,
    "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
    "max_position_embeddings": 40960, "tie_word_embeddings": True,
}  # fmt: skip


@cache
def _read(items: tuple[tuple[str, Any], ...]) -> Architecture:
    return read_architecture(dict(items))


def architecture(config: dict[str, Any], **changes: Any) -> Architecture:
    return _read(tuple({**config, **changes}.items()))
