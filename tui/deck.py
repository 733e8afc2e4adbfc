"""What all panels share: the workspace, the recipe being worked on, and the queue for heavy work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.recipe import Recipe, RecipeError, read_recipe, with_changes, write_recipe
from core.workspace import Workspace
from tui.jobs import Jobs

RECIPE_NAME = "recipe.toml"


@dataclass
class Deck:
    """One per app. `problem` says why the recipe file could not be read, if it could not."""

    workspace: Workspace
    recipe: Recipe
    recipe_file: Path
    unsaved: bool = False
    problem: str = ""
    jobs: Jobs = field(default_factory=Jobs)

    def change(self, changes: Mapping[str, Any]) -> None:
        """Lay `{"section.key": value}` over the recipe. Raises RecipeError and changes nothing."""
        changed = with_changes(self.recipe, changes)
        self.unsaved = self.unsaved or changed != self.recipe
        self.recipe = changed

    def save(self) -> None:
        """Write the recipe file, keeping the person's comments. Raises TunedeckError or OSError."""
        write_recipe(self.recipe_file, self.recipe)
        self.unsaved = False
        self.problem = ""


def open_deck(workspace: Workspace, recipe_file: Path | None = None) -> Deck:
    """The deck of a workspace: with the recipe that was named, or the workspace's own, or the defaults.

    A recipe that was named and cannot be used raises RecipeError; the workspace's own becomes `problem`,
    because runs can be watched without it.
    """
    if recipe_file is not None:
        return Deck(workspace, read_recipe(recipe_file), recipe_file)
    usual = workspace.root / RECIPE_NAME
    if not usual.exists():
        return Deck(workspace, Recipe(), usual)
    try:
        return Deck(workspace, read_recipe(usual), usual)
    except RecipeError as error:
        return Deck(workspace, Recipe(), workspace.root / "recipe-new.toml", problem=str(error))
