"""`tunedeck init`: write a recipe to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tui.commands.options import (
    RECIPE_NAME,
    Changes,
    DataOption,
    LossOnOption,
    MaxLengthOption,
    ModelOption,
    TemplateOption,
    recipe_from,
    say,
    workspace_of,
)

NewFile = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help=f"Where to write; {RECIPE_NAME} of the workspace unless named."),
]


Demo = Annotated[
    bool,
    typer.Option("--demo", help="The recipe of the embedded model: small batches, a high rate, 3 epochs."),
]


def add_to(app: typer.Typer) -> None:
    app.command("init")(init)


def init(
    ctx: typer.Context,
    file: NewFile = None,
    changes: Changes = None,
    model: ModelOption = None,
    data: DataOption = None,
    loss_on: LossOnOption = None,
    template: TemplateOption = None,
    max_length: MaxLengthOption = None,
    demo: Demo = False,
) -> None:
    """Write a recipe with every key, its default and the reason for it.

    The defaults suit models of a billion parameters and more; --demo writes what suits the embedded one.

    Example: tunedeck init --model demo --data chats.jsonl
    """
    from core.demo.paths import RECIPE
    from core.errors import UsageError
    from core.recipe import Recipe
    from core.recipe_comments import commented_text
    from core.workspace import write_atomically

    target = file or workspace_of(ctx).root / RECIPE_NAME
    if target.exists():
        raise UsageError("there is a file of that name already", where=str(target), fix="name another one")
    chosen = Recipe()
    if demo or changes or model or data or loss_on or template or max_length:
        chosen = recipe_from(
            ctx,
            RECIPE if demo else None,
            changes,
            model=model,
            data=data,
            loss_on=loss_on,
            template=template,
            max_length=max_length,
        )
    write_atomically(target, commented_text(chosen))
    say(f"wrote {target}; next: tunedeck show {target.name} or tunedeck")
