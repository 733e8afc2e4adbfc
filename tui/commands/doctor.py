"""`tunedeck doctor`: is this machine fit for the work?"""

from __future__ import annotations

from typing import Annotated

import typer

from tui.commands.options import AsJson, print_json, workspace_of

_MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL", "skip": "-   "}


def add_to(app: typer.Typer) -> None:
    app.command("doctor")(doctor)


def doctor(
    ctx: typer.Context,
    live: Annotated[
        bool, typer.Option("--live/--no-live", help="Try it: load, answer, train a step, write, read back.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Check this machine: versions, devices, disks, the Hub, and a small run from end to end.

    Ends with 4 if something that is needed is missing.
    """
    from core.doctor import examine
    from core.errors import EXIT_MISSING

    found = []
    for check in examine(workspace_of(ctx), live=live):
        found.append(check)
        if not as_json:
            typer.echo(f"{_MARKS[check.state]}  {check.check:<24}  {check.evidence}")
            if check.fix and check.state != "ok":
                typer.echo(f"{'':<32}{check.fix}")
    if as_json:
        print_json([check.to_json() for check in found])
    if any(check.state == "fail" for check in found):
        raise typer.Exit(EXIT_MISSING)
