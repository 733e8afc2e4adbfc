"""`tunedeck show` and `tunedeck prepare`: one row token by token, and the whole set made ready."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tui.commands.options import (
    AsJson,
    Changes,
    DataOption,
    LossOnOption,
    MaxLengthOption,
    ModelOption,
    RecipeFile,
    TemplateOption,
    print_json,
    recipe_from,
    say,
    workspace_of,
)

if TYPE_CHECKING:
    from core.data.prepare import PrepareProgress
    from core.recipe import Recipe

RowOption = Annotated[int, typer.Option("--row", metavar="N", help="Which row, from 0.", min=0)]
IdsOption = Annotated[bool, typer.Option("--ids", help="One line per token: id, label, part, reason.")]
CompareOption = Annotated[
    str | None,
    typer.Option(
        "--compare", metavar="MODE", help="Beside it, the labels under another loss_on or template."
    ),
]
BatchOption = Annotated[
    int | None,
    typer.Option("--batch", metavar="N", help="A whole batch, from 0, as the trainer draws it.", min=0),
]
EpochOption = Annotated[
    int, typer.Option("--epoch", metavar="E", help="With --batch: of which epoch, from 0.", min=0)
]
OutOption = Annotated[
    Path | None, typer.Option("--out", metavar="FOLDER", help="Where to write; the cache unless named.")
]


def add_to(app: typer.Typer) -> None:
    app.command("show")(show)
    app.command("prepare")(prepare)


def show(
    ctx: typer.Context,
    recipe: RecipeFile = None,
    row: RowOption = 0,
    ids: IdsOption = False,
    batch: BatchOption = None,
    epoch: EpochOption = 0,
    compare: CompareOption = None,
    changes: Changes = None,
    model: ModelOption = None,
    data: DataOption = None,
    loss_on: LossOnOption = None,
    template: TemplateOption = None,
    max_length: MaxLengthOption = None,
    as_json: AsJson = False,
) -> None:
    """Show one row token by token, or one batch with the tensors the model gets: what is trained, what is not, and why.

    Example: tunedeck show recipe.toml --row 3 --ids
    """
    from core.data.compare import compare_rows, under
    from core.data.view import opened, show_row
    from core.models.sources import locate
    from tui.commands.shown import comparison_lines, shown_lines

    chosen = recipe_from(
        ctx,
        recipe,
        changes,
        model=model,
        data=data,
        loss_on=loss_on,
        template=template,
        max_length=max_length,
    )
    workspace = workspace_of(ctx)
    folder = locate(chosen.model.source, chosen.model.revision, workspace).folder
    if batch is not None:
        _show_batch(chosen, folder, workspace.root, batch, epoch, ids=ids, as_json=as_json)
        return
    shown = show_row(chosen, folder, row, workspace=workspace.root)
    rows = opened(chosen.data.source, workspace.root, chosen.data)
    if not rows.whole:
        say("\n".join(rows.notes))
    other = None
    if compare is not None:
        other = show_row(under(chosen, compare), folder, row, workspace=workspace.root)
    if as_json:
        document = shown.to_json()
        if other is not None:
            document["compared"] = other.to_json()
        print_json(document)
        return
    lines = (
        shown_lines(shown, ids=ids)
        if other is None
        else comparison_lines(compare_rows(shown, other), shown, other)
    )
    typer.echo("\n".join(lines))


def _show_batch(
    recipe: Recipe, folder: Path, workspace: Path, number: int, epoch: int, *, ids: bool, as_json: bool
) -> None:
    from core.data.batch import show_batch
    from tui.commands.batch_lines import batch_lines

    batch = show_batch(recipe, folder, number, epoch, _told, workspace=workspace)
    if as_json:
        print_json(batch.to_json())
    else:
        typer.echo("\n".join(batch_lines(batch, ids=ids)))


def prepare(
    ctx: typer.Context,
    recipe: RecipeFile = None,
    out: OutOption = None,
    changes: Changes = None,
    model: ModelOption = None,
    data: DataOption = None,
    loss_on: LossOnOption = None,
    template: TemplateOption = None,
    max_length: MaxLengthOption = None,
    as_json: AsJson = False,
) -> None:
    """Render, encode and label every row, and write the folder that a run trains on.

    Example: tunedeck prepare recipe.toml --out prepared
    """
    from core.data.prepare import prepare as prepare_rows
    from core.models.sources import locate
    from tui.commands.shown import prepared_lines

    chosen = recipe_from(
        ctx,
        recipe,
        changes,
        model=model,
        data=data,
        loss_on=loss_on,
        template=template,
        max_length=max_length,
    )
    workspace = workspace_of(ctx)
    folder = locate(chosen.model.source, chosen.model.revision, workspace).folder
    prepared = prepare_rows(chosen, folder, out, _told, workspace=workspace.root)
    if as_json:
        print_json(prepared.to_json())
    else:
        typer.echo("\n".join(prepared_lines(prepared)))


def _told(progress: PrepareProgress) -> None:
    say(f"{progress.done:,} of {progress.total:,} rows, {progress.eta_seconds:.0f} s left")
