"""How long a run takes and what it costs, and what that rests on: a measurement, or a stated range."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from core.memory.cards import Card
from core.memory.plan import Plan
from core.memory.setting import Lengths
from core.models.architecture import Architecture
from core.recipe import Recipe

# Share of a GPU's paper throughput that fine-tuning reaches: small batches below, long full rows above.
USE_LOW, USE_HIGH = 0.15, 0.45


@dataclass(frozen=True, slots=True)
class Pace:
    """Work and time of a run. Seconds and cost are (low, high); None where nothing is known to rest on."""

    steps: int | None
    tokens: int | None  # over all epochs, padding excluded
    flops: float | None
    seconds: tuple[float, float] | None
    cost: tuple[float, float] | None
    rests_on: str

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def pace(
    recipe: Recipe,
    architecture: Architecture,
    made: Plan,
    lengths: Lengths | None,
    *,
    tokens_per_second: float | None = None,
    measured_in: str = "",
    card: Card | None = None,
) -> Pace:
    """Steps, tokens, FLOPs, time and cost of a recipe.

    `tokens_per_second` is that of an earlier run (`measured_in` names it) or of a trial; without it a range
    stands on the card's paper throughput, and without a card there is no time.
    """
    if lengths is None:
        return Pace(None, None, None, None, None, "no prepared data: the number of rows is not known")
    sequences = _sequences(recipe, lengths)
    steps = recipe.steps(sequences)
    whole = recipe.training.max_steps is None
    passes = recipe.training.epochs if whole else steps * recipe.effective_batch / sequences
    tokens = round(lengths.rows * lengths.mean * passes)
    flops = tokens * flops_per_token(recipe, architecture, made.setting.length)
    if tokens_per_second:
        seconds = tokens / tokens_per_second
        span, rests = (seconds, seconds), f"{tokens_per_second:,.0f} tokens/s measured in {measured_in}"
    elif card is not None:
        peak = card.tflops * 1e12 * recipe.ranks
        span = (flops / (peak * USE_HIGH), flops / (peak * USE_LOW))
        rests = f"{USE_LOW:.0%} to {USE_HIGH:.0%} of the {card.tflops:g} TFLOPS a {card.name} has on paper"
    else:
        return Pace(steps, tokens, flops, None, None, "no earlier run on this device to rest on")
    price = recipe.plan.price_per_hour or (card.price if card is not None else 0.0)
    cost = (span[0] / 3600 * price, span[1] / 3600 * price) if price else None
    return Pace(steps, tokens, flops, span, cost, rests)


def flops_per_token(recipe: Recipe, architecture: Architecture, length: int) -> float:
    """Two per parameter and pass: forward, gradient of the inputs, gradient of the weights that train.

    Checkpointing repeats the forward. Attention adds 4 x layers x width x length per forward pass. The
    input embedding multiplies nothing; a tied head does.
    """
    groups = architecture.parameters
    parameters = architecture.active_parameters - (0 if architecture.tied else groups.embedding)
    passes = 2.0 + (1.0 if recipe.tuner.method == "full" else 0.0)
    if recipe.training.gradient_checkpointing:
        passes += 1.0
    attention = 4 * architecture.layers * architecture.heads * architecture.head_dim * length
    return passes * (2.0 * parameters + attention / 2)  # half of the scores lie above the diagonal


def _sequences(recipe: Recipe, lengths: Lengths) -> int:
    """Rows, or packs when rows are packed to max_length."""
    if recipe.data.packing == "none":
        return lengths.rows
    return max(math.ceil(lengths.rows * lengths.mean / recipe.data.max_length), 1)
