"""What one model needs on one device for each way of using it: a small table for the model's card.

Chat is weights and the key-value cache of one conversation; the training ways are priced by the plan itself,
with the recipe's own lengths and batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from core.errors import TunedeckError
from core.memory.plan import plan
from core.memory.verdict import Room, Verdict, verdict_of
from core.models.architecture import Architecture
from core.recipe import Recipe, with_changes

Way = Literal["chat", "QLoRA", "LoRA", "full"]
CHAT_TOKENS = 4096

_CHANGES: dict[Way, dict[str, Any]] = {
    "QLoRA": {"model.quantization": "nf4", "tuner.method": "lora"},
    "LoRA": {"model.quantization": "none", "tuner.method": "lora"},
    "full": {"model.quantization": "none", "tuner.method": "full", "tuner.modules_to_save": []},
}


@dataclass(frozen=True, slots=True)
class Need:
    """Predicted peak of one way, and whether it fits. `why` says why there is no number."""

    way: Way
    bytes: int | None
    verdict: Verdict
    why: str = ""


def needs(architecture: Architecture, recipe: Recipe, room: Room) -> tuple[Need, ...]:
    """Chat, QLoRA, LoRA and full tuning of a model with this recipe's lengths, in this room."""
    context = architecture.context_length or recipe.data.max_length
    chat = chat_bytes(architecture, min(CHAT_TOKENS, context))
    found = [Need("chat", chat, verdict_of(chat, 0, room.available))]
    for way, changes in _CHANGES.items():
        # A row is never longer than the context; experts take no dropout, which changes nothing here.
        changed = {**changes, "data.max_length": min(recipe.data.max_length, context)}
        if architecture.experts:
            changed["tuner.dropout"] = 0.0
        try:
            made = plan(with_changes(recipe, changed), architecture, room=room)
        except TunedeckError as error:
            found.append(Need(way, None, "unknown", error.what))
        else:
            found.append(Need(way, made.peak_allocated_bytes, made.verdict))
    return tuple(found)


def chat_bytes(architecture: Architecture, tokens: int = CHAT_TOKENS, value_bytes: int = 2) -> int:
    """Weights in 16 bit and the cache of one conversation of `tokens` tokens."""
    return architecture.parameters.total * value_bytes + cache_bytes(architecture, tokens, value_bytes)


def cache_bytes(architecture: Architecture, tokens: int, value_bytes: int = 2) -> int:
    """Keys and values of one sequence. Sliding layers keep their window, linear ones a state that does not grow."""
    a, total = architecture, 0
    for kind in a.layer_kinds:
        if kind == "mla":
            total += (a.mla_kv_rank + a.mla_rope_dim) * tokens
        elif kind != "linear":
            seen = min(tokens, a.sliding_window - 1) if kind == "sliding" and a.sliding_window else tokens
            total += 2 * a.kv_heads * a.head_dim * seen
    return total * value_bytes
