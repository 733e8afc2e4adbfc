"""What all panels share: the workspace, the recipe being worked on, and the queue for heavy work."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.workspace import Workspace
from tui.jobs import Jobs

if TYPE_CHECKING:
    from core.recipe import Recipe

RECIPE_NAME = "recipe.toml"
RESCUE_NAME = "recipe-new.toml"  # where a recipe is saved while the workspace's own cannot be read


class Deck:
    """One per app. The recipe is read when it is first asked for: the first paint does not wait for it."""

    def __init__(self, workspace: Workspace, recipe: Recipe | None = None, file: Path | None = None) -> None:
        self.workspace = workspace
        self.recipe_file = file or workspace.root / RECIPE_NAME
        self.unsaved = False
        self.problem = ""  # why the workspace's recipe could not be read, once it has been tried
        self.jobs = Jobs()
        self._recipe = recipe

    @property
    def recipe(self) -> Recipe:
        """The recipe as it is now; that of the file, or the defaults where there is none or it is broken."""
        if self._recipe is None:
            from core.recipe import Recipe, RecipeError, read_recipe

            try:
                self._recipe = read_recipe(self.recipe_file) if self.recipe_file.exists() else Recipe()
            except RecipeError as error:
                self._recipe, self.problem = Recipe(), str(error)
                self.recipe_file = self.workspace.root / RESCUE_NAME
        return self._recipe

    def change(self, changes: Mapping[str, Any]) -> None:
        """Lay `{"section.key": value}` over the recipe. Raises RecipeError and changes nothing."""
        from core.recipe import with_changes

        changed = with_changes(self.recipe, changes)
        self.unsaved = self.unsaved or changed != self.recipe
        self._recipe = changed

    def save(self) -> None:
        """Write the recipe file, keeping the person's comments. Raises TunedeckError or OSError."""
        from core.recipe import write_recipe

        write_recipe(self.recipe_file, self.recipe)
        self.unsaved = False


def open_deck(workspace: Workspace, recipe_file: Path | None = None) -> Deck:
    """The deck of a workspace: with the recipe that was named, or the workspace's own, or the defaults.

    A recipe that was named and cannot be used raises RecipeError at once; the workspace's own only sets
    `problem` when it is read, because runs can be watched without it.
    """
    if recipe_file is None:
        return Deck(workspace)
    from core.recipe import read_recipe

    return Deck(workspace, read_recipe(recipe_file), recipe_file)
