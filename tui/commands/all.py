"""Every command in one Typer app. A new group is one module with `add_to(app)`, named once below."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from core import __version__
from tui.commands import chat, check, data, demo, doctor, evaluate, export, models, plan, recipes, runs
from tui.commands.options import say

# Plain help text: the decorated form would import Rich at every --help.
app = typer.Typer(
    name="tunedeck",
    help="A fine-tuning workbench for the terminal. Without a command the app opens.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# In the order of the help. One module per group; each adds its commands.
for group in (demo, recipes, models, data, check, plan, runs, chat, evaluate, export, doctor):
    group.add_to(app)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"tunedeck {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def tunedeck(
    ctx: typer.Context,
    workspace: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where recipes and runs/ are; the current folder unless named.",
            show_default=False,
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", metavar="FILE", help="Open the app with this recipe.", show_default=False),
    ] = None,
    mouse: Annotated[
        bool, typer.Option("--mouse/--no-mouse", help="Mouse in the app; with it, Shift-drag selects text.")
    ] = True,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """A fine-tuning workbench for the terminal. Without a command the app opens."""
    from core.workspace import find_workspace

    ctx.obj = find_workspace(workspace)
    if workspace is not None and not ctx.obj.root.exists():
        say(f"{ctx.obj.root} does not exist yet; it is made when something is first written there")
    if ctx.invoked_subcommand is None:
        from tui.commands.screen import open_app

        raise typer.Exit(open_app(ctx.obj, recipe, mouse=mouse))
