"""What the commands share: their options, the recipe these describe, and how a result is printed.

def plan(ctx: typer.Context, recipe: RecipeFile = None, changes: Changes = None, model: ModelOption = None,
         data: DataOption = None, as_json: AsJson = False) -> None:
    chosen = recipe_from(ctx, recipe, changes, model=model, data=data)
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from core.recipe import Recipe
    from core.workspace import Workspace

RECIPE_NAME = "recipe.toml"

RecipeFile = Annotated[
    Path | None,
    typer.Argument(metavar="RECIPE", help=f"A recipe file; {RECIPE_NAME} of the workspace unless named."),
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change one key of the recipe; repeatable."),
]
ModelOption = Annotated[
    str | None, typer.Option("--model", metavar="SOURCE", help='"demo", a folder, or a Hub id.')
]
DataOption = Annotated[
    str | None, typer.Option("--data", metavar="SOURCE", help="A file, a folder, or a Hub id.")
]
LossOnOption = Annotated[
    str | None, typer.Option("--loss-on", metavar="MODE", help="Which tokens carry loss; see docs/data.md.")
]
TemplateOption = Annotated[
    str | None, typer.Option("--template", metavar="TEMPLATE", help="model, trl-training, or a .jinja file.")
]
MaxLengthOption = Annotated[
    int | None, typer.Option("--max-length", metavar="TOKENS", help="Tokens per row; longer rows are cut.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def workspace_of(ctx: typer.Context) -> Workspace:
    """The workspace of this call, as `--workspace`, `TUNEDECK_WORKSPACE` or the current folder name it."""
    from core.workspace import Workspace

    workspace = ctx.find_root().obj
    assert isinstance(workspace, Workspace)
    return workspace


def recipe_from(
    ctx: typer.Context,
    file: Path | None,
    changes: list[str] | None = None,
    *,
    model: str | None = None,
    data: str | None = None,
    loss_on: str | None = None,
    template: str | None = None,
    max_length: int | None = None,
) -> Recipe:
    """The recipe that was named, with the options laid over it.

    Without a file, the options stand in its place; without either, `recipe.toml` of the workspace is taken.
    Raises RecipeError for a recipe that cannot be used, UsageError if nothing names one.
    """
    from core.errors import UsageError
    from core.recipe import parse_recipe, read_recipe

    shorthand = {
        "model.source": model,
        "data.source": data,
        "data.loss_on": loss_on,
        "data.template": template,
        "data.max_length": max_length,
    }
    given = [f"{key}={json.dumps(value)}" for key, value in shorthand.items() if value is not None]
    given += changes or []
    usual = workspace_of(ctx).root / RECIPE_NAME
    if file is None and usual.is_file() and model is None and data is None:
        file = usual
    if file is not None:
        return read_recipe(file, given)
    if not given:
        raise UsageError(
            f"no recipe: none was named and the workspace has no {RECIPE_NAME}",
            fix="name one, or give --model and --data, or write one with: tunedeck init",
        )
    return parse_recipe("", given, where="options")


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def say(text: str) -> None:
    """Narration: to stderr, so that stdout stays data."""
    typer.echo(text, err=True)
