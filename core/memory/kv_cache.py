"""Bytes of keys and values while a model answers: evaluation by generation, sample answers, the chat."""

from __future__ import annotations

from core.memory.figure import Figure, figure
from core.models.architecture import Architecture


def kv_cache(
    architecture: Architecture,
    tokens: int,
    *,
    sequences: int = 1,
    element: int = 2,
) -> Figure:
    """The cache of `sequences` conversations of `tokens` tokens each, with `element` bytes per number.

    Query heads do not count, so grouped heads divide it. A sliding layer keeps its window less one. Layers with
    a recurrent state keep no keys. Latent attention (MLA) caches its compressed vector, as transformers 5 does.
    """
    per_layer = 2 * architecture.kv_heads * architecture.head_dim
    latent = architecture.mla_kv_rank + architecture.mla_rope_dim
    window = architecture.sliding_window
    elements, sliding, full = 0, 0, 0
    for kind in architecture.layer_kinds:
        if kind == "linear":
            continue
        if kind == "mla":
            elements += latent * tokens
            full += 1
        elif kind in ("sliding", "chunked") and window:
            elements += per_layer * min(tokens, window - 1)
            sliding += 1
        else:
            elements += per_layer * tokens
            full += 1
    words = f"{sequences} x {tokens:,} tokens x {full} layers"
    if sliding:
        words += f" (and {sliding} that keep {window:,} less one)"
    words += f" x {latent:,} compressed x {element} B" if latent else f" x {per_layer:,} x {element} B"
    return figure("KV cache", elements * sequences * element, words, "transformers cache_utils: DynamicCache")


def growth(architecture: Architecture, tokens: int, *, sequences: int = 1, element: int = 2) -> int:
    """What stands twice for a moment when the cache grows: one layer's keys and values are joined anew."""
    if not architecture.layers:
        return 0
    whole = kv_cache(architecture, tokens, sequences=sequences, element=element).bytes
    return round(whole / architecture.layers)
