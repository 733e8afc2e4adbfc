"""What a run has cost so far: the hours its trainer lived, at the price of its machine or its card."""

from __future__ import annotations

import contextlib

from core.errors import TunedeckError
from core.memory.cards import card_of
from core.runs.folder import Run


def price_per_hour(run: Run) -> float | None:
    """US dollars an hour: `plan.price_per_hour` of the run's recipe, else its cards at the table's price.

    None where neither is known, for example on a CPU.
    """
    with contextlib.suppress(TunedeckError, OSError):
        recipe = run.read_recipe()
        if recipe.plan.price_per_hour:
            return recipe.plan.price_per_hour
        card = card_of(str(run.read_json(run.plan).get("device", "")))
        if card is not None and card.price:
            return card.price * recipe.ranks
    return None


def cost(price: float | None, seconds: float | None) -> float | None:
    """Dollars for that long; None while either is unknown."""
    return None if price is None or seconds is None else price * seconds / 3600
