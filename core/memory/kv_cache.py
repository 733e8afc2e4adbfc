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
    expanded: bool = False,
) -> Figure:
    """The cache of `sequences` conversations of `tokens` tokens each, with `element` bytes per number.

    Query heads do not count, so grouped heads divide it. A sliding layer keeps its window less one. Layers with
    a recurrent state keep no keys. Latent attention (MLA) caches its compressed vector, as transformers 5 does;
    `expanded` is transformers 4, which caches the keys and values of every head.
    """
    per_layer = 2 * architecture.kv_heads * architecture.head_dim
    latent = _expanded(architecture) if expanded else architecture.mla_kv_rank + architecture.mla_rope_dim
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
    words += (
        f" x {latent:,} {'expanded' if expanded else 'compressed'} x {element} B"
        if latent
        else f" x {per_layer:,} x {element} B"
    )
    return figure("KV cache", elements * sequences * element, words, "transformers cache_utils: DynamicCache")


def _expanded(architecture: Architecture) -> int:
    """Numbers per token of one MLA layer's keys and values of all heads, from the layers that make them.

    Queries are n x (nope + rope) wide, what makes keys and values of the latent vector n x (nope + value).
    """
    if not architecture.mla_kv_rank:
        return 0
    widths = {item.name.rpartition(".")[2]: item.outputs for item in architecture.linears}
    queries = widths.get("q_b_proj") or widths.get("q_proj", 0)
    nope = queries - architecture.heads * architecture.mla_rope_dim
    return queries + widths.get("kv_b_proj", 0) - nope


def growth(
    architecture: Architecture, tokens: int, *, sequences: int = 1, element: int = 2, expanded: bool = False
) -> int:
    """What stands twice for a moment when the cache grows: one layer's keys and values are joined anew."""
    if not architecture.layers:
        return 0
    whole = kv_cache(architecture, tokens, sequences=sequences, element=element, expanded=expanded).bytes
    return round(whole / architecture.layers)
