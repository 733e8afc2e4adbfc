"""Tables to choose from: methods by length, methods by GPU type, models by GPU type."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from core.errors import TunedeckError
from core.memory.cards import Card, cards
from core.memory.fit import Case, case, on_card, plan_or_none
from core.memory.plan import Plan
from core.memory.setting import Lengths
from core.memory.verdict import Room
from core.models.architecture import Architecture
from core.recipe import Recipe, with_changes

METHODS: dict[str, dict[str, Any]] = {
    "full": {"tuner.method": "full", "model.quantization": "none"},
    "lora": {"tuner.method": "lora", "model.quantization": "none"},
    "lora int8": {"tuner.method": "lora", "model.quantization": "int8"},
    "qlora nf4": {"tuner.method": "lora", "model.quantization": "nf4"},
}
LENGTHS = (512, 1024, 2048, 4096, 8192, 16384, 32768)


def by_method_and_length(recipe: Recipe, subject: Case) -> dict[str, dict[int, Plan | None]]:
    """Plans of every method at every length up to the model's context; None where a recipe cannot be."""
    longest = subject.architecture.context_length or LENGTHS[-1]
    alone = Case(subject.architecture, None, subject.room, subject.stack)
    return {
        method: {
            length: plan_or_none(recipe, alone, {**changes, "data.max_length": length})
            for length in LENGTHS
            if length <= longest
        }
        for method, changes in METHODS.items()
    }


def by_method_and_card(recipe: Recipe, subject: Case) -> dict[str, dict[str, Plan | None]]:
    """Plans of every method on every card of the table, empty: what to rent. None where it cannot be: a card
    without bfloat16 for a bfloat16 recipe.
    """
    found: dict[str, dict[str, Plan | None]] = {}
    for method, changes in METHODS.items():
        found[method] = {}
        for card in cards():
            room = Room("cuda", card.name, card.bytes, card.bytes)
            there = Case(subject.architecture, subject.lengths, room, subject.stack)
            able = card.bf16 or recipe.model.dtype != "bfloat16"
            found[method][card.name] = plan_or_none(recipe, there, changes) if able else None
    return found


@dataclass(frozen=True, slots=True)
class Rent:
    """One model with this recipe on every card of the table, empty. `why` says why there is no plan."""

    name: str
    plans: dict[str, Plan | None]
    cheapest: Card | None
    why: str = ""

    @property
    def peak_allocated_bytes(self) -> int | None:
        return next((one.peak_allocated_bytes for one in self.plans.values() if one is not None), None)

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.name,
            "peak_allocated_bytes": self.peak_allocated_bytes,
            "cheapest": None if self.cheapest is None else self.cheapest.name,
            "price_per_hour": None if self.cheapest is None else self.cheapest.price,
            "verdicts": {name: None if one is None else one.verdict for name, one in self.plans.items()},
            "why": self.why,
        }


def by_model_and_card(
    recipe: Recipe, models: Iterable[tuple[str, Architecture]], lengths: Lengths | None
) -> tuple[Rent, ...]:
    """Every model with this recipe on every card, empty: what to rent. Rows keep their lengths, as far as the
    model's context reaches.
    """
    return tuple(_rent(recipe, name, shape, lengths) for name, shape in models)


def _rent(recipe: Recipe, name: str, shape: Architecture, lengths: Lengths | None) -> Rent:
    longest = min(recipe.data.max_length, shape.context_length or recipe.data.max_length)
    subject = case(shape, lengths, Room())
    plans: dict[str, Plan | None] = {}
    try:
        fitted = with_changes(recipe, {"data.max_length": longest})
        for card in cards():
            able = card.bf16 or recipe.model.dtype != "bfloat16"
            plans[card.name] = on_card(fitted, subject, card) if able else None
    except TunedeckError as error:
        return Rent(name, dict.fromkeys(card.name for card in cards()), None, error.what)
    fits = [card for card in cards() if (one := plans[card.name]) is not None and one.verdict == "fits"]
    return Rent(name, plans, min(fits, key=lambda card: (card.price, card.gib), default=None))
