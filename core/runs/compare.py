"""Several runs side by side: how they stand, and the recipe keys in which they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.runs.folder import Run
from core.runs.state import RunState, read_state


@dataclass(frozen=True, slots=True)
class Comparison:
    """`differences` maps `section.key` to one value per run, in the order of `states`."""

    states: tuple[RunState, ...]
    differences: dict[str, tuple[Any, ...]]

    def to_json(self) -> dict[str, Any]:
        return {
            "runs": [state.to_json() for state in self.states],
            "differences": {key: list(values) for key, values in self.differences.items()},
        }


def compare(runs: Sequence[Run]) -> Comparison:
    """Compare runs. Raises RecipeError if a run's recipe can no longer be read."""
    recipes = [run.read_recipe().model_dump() for run in runs]
    differences = {}
    for section, values in recipes[0].items():
        for key in values:
            row = tuple(recipe[section][key] for recipe in recipes)
            if any(value != row[0] for value in row):
                differences[f"{section}.{key}"] = row
    return Comparison(tuple(read_state(run.folder) for run in runs), differences)
