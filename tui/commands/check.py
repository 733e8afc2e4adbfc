"""`tunedeck check`: every finding over a whole set, before any GPU is used. The exit code is made for CI."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Literal

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
    from core.data.check import CheckProgress, CheckReport
    from core.data.prepare import PrepareProgress

FailOn = Literal["error", "warning"]
FailOnOption = Annotated[
    FailOn, typer.Option("--fail-on", help="Exit with 1 at a finding of this severity or worse.")
]
_SECONDS_BETWEEN_REPORTS = 2.0


def add_to(app: typer.Typer) -> None:
    app.command("check")(check)


def check(
    ctx: typer.Context,
    recipe: RecipeFile = None,
    fail_on: FailOnOption = "error",
    changes: Changes = None,
    model: ModelOption = None,
    data: DataOption = None,
    loss_on: LossOnOption = None,
    template: TemplateOption = None,
    max_length: MaxLengthOption = None,
    as_json: AsJson = False,
) -> None:
    """Check every row: what would be learned wrong, what is not trained, and why.

    Example: tunedeck check recipe.toml --fail-on warning
    """
    from core.data.check import check as check_rows
    from core.errors import EXIT_FAILED
    from core.models.sources import locate
    from tui.commands.check_lines import report_lines

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
    report = check_rows(chosen, folder, Narrator(), workspace=workspace.root)
    if as_json:
        print_json(report.to_json(chosen))
    else:
        typer.echo("\n".join(report_lines(report, chosen)))
    if fails(report, fail_on):
        raise typer.Exit(EXIT_FAILED)


def fails(report: CheckReport, fail_on: FailOn) -> bool:
    """Whether the report holds a finding of that severity or worse."""
    return report.worst() in (("error",) if fail_on == "error" else ("error", "warning"))


class Narrator:
    """Progress to stderr, not more often than every two seconds."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, progress: CheckProgress | PrepareProgress) -> None:
        if time.monotonic() - self._last >= _SECONDS_BETWEEN_REPORTS:
            self._last = time.monotonic()
            say(f"{progress.done:,} of {progress.total:,} rows, {progress.eta_seconds:.0f} s left")
