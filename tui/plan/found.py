"""What the Plan panel's thread found, as a message to the panel."""

from __future__ import annotations

from pathlib import Path

from textual.message import Message

from core.memory.setting import Lengths
from core.memory.tables import Rent
from core.models.architecture import Architecture
from core.recipe import Recipe
from core.runs.evidence import Measured


class Found(Message, bubble=False):
    """The model's shape and the lengths of its prepared rows; or why there is no plan."""

    def __init__(
        self,
        recipe: Recipe,
        architecture: Architecture | None,
        lengths: Lengths | None,
        folder: Path | None,
        problem: str,
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.architecture = architecture
        self.lengths = lengths
        self.folder = folder
        self.problem = problem


class Paced(Message, bubble=False):
    """The speed of an earlier run of such a recipe on that device; None where there is none."""

    def __init__(self, key: tuple[str, ...], speed: Measured | None) -> None:
        super().__init__()
        self.key = key
        self.speed = speed


class Rented(Message, bubble=False):
    """Every model at hand on every card of the table, for this recipe."""

    def __init__(self, recipe: Recipe, rents: tuple[Rent, ...]) -> None:
        super().__init__()
        self.recipe = recipe
        self.rents = rents
