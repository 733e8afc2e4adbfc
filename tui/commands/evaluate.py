"""`tunedeck evaluate`: what a run learned, measured on rows it never saw."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tui.commands.chat import Named
from tui.commands.options import AsJson, DataOption, print_json, say, workspace_of

if TYPE_CHECKING:
    from core.chat.judged import Evaluation

SECONDS_BETWEEN_LINES = 2.0


def add_to(app: typer.Typer) -> None:
    app.command("evaluate")(evaluate)


def evaluate(
    ctx: typer.Context,
    named: Named,
    against: Annotated[
        str, typer.Option(metavar="MODEL", help='"base", or another run or model; the difference is shown.')
    ] = "",
    shots: Annotated[
        int,
        typer.Option(
            "--shots", min=0, help="The base answers as well, with this many training rows before a prompt."
        ),
    ] = 0,
    general: Annotated[
        bool, typer.Option("--general", help="Ask the fixed set of general prompts too: what was forgotten?")
    ] = False,
    data: DataOption = None,
    limit: Annotated[int | None, typer.Option(metavar="ROWS", help="Use the first rows only.")] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option("--max-tokens", help="New tokens per answer; longest expected plus 64 unless given."),
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch", help="Answers generated at once.")] = 16,
    loss_only: Annotated[bool, typer.Option("--loss-only", help="Generate no answers.")] = False,
    form: Annotated[
        str,
        typer.Option(
            metavar="FORM",
            help="What every answer should be: json, or re:PATTERN; the recipe's evaluate.form unless given.",
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Loss, perplexity and answers on held-out rows, with the difference to the base.

    Example: tunedeck evaluate last --against base --shots 3 --general
    """
    from core.workshop import Workshop

    workshop = Workshop()
    try:
        job = workshop.submit(
            "core.chat.held_out:evaluate_named",
            named=named,
            root=workspace_of(ctx).root,
            against=against,
            data=data or "",
            shots=shots,
            general=general,
            limit=limit,
            max_tokens=max_tokens,
            batch_size=batch_size,
            generate=not loss_only,
            form=form,
        )
        evaluation: Evaluation = workshop.wait(job, _Narrator())
    except BaseException:
        workshop.cancel()
        raise
    workshop.close()
    if as_json:
        print_json(evaluation.to_json())
    else:
        _print(evaluation)


class _Narrator:
    """Progress on stderr: one line that is written over on a terminal, a line now and then in a log."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, value: dict[str, Any]) -> None:
        ended = value["done"] == value["total"]
        if not ended and time.monotonic() - self._last < SECONDS_BETWEEN_LINES:
            return
        self._last = time.monotonic()
        text = f"{value['who']}: {value['what']} {value['done']}/{value['total']}, {value['eta_seconds']:.0f} s left"
        over = sys.stderr.isatty()
        typer.echo(f"\r{text:<60}" if over else text, nl=ended or not over, err=True)


def _print(evaluation: Evaluation) -> None:
    from core.chat.report import table

    lines = table(evaluation)
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        first, *rest = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        typer.echo("  ".join([first, *(text.rjust(len(text)) for text in rest)]).rstrip())
    say(f"report: {evaluation.folder / 'report.md'}")
