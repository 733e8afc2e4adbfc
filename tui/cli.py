"""The command line. Nothing heavy is imported here: each command imports what it needs when it runs.

stdout is data, stderr is narration. An error is one or two lines and an exit code (`core.errors`); its
traceback goes to the log. Without a command the full-screen app opens.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from core import __version__
from core.errors import EXIT_FAILED, EXIT_INTERRUPTED, TunedeckError
from tui.commands import chat, check, data, demo, doctor, evaluate, export, models, plan, recipes, runs

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
    if ctx.invoked_subcommand is None:
        from tui.commands.screen import open_app

        raise typer.Exit(open_app(ctx.obj, recipe, mouse=mouse))


def main(arguments: list[str] | None = None) -> None:
    """Run a command and leave with its exit code. An error never shows a traceback."""
    try:
        app(args=arguments)
    except TunedeckError as error:
        _log_traceback()
        typer.echo(f"tunedeck: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        log = _log_traceback()
        typer.echo(
            f"tunedeck: unexpected {type(error).__name__}: {error}\nThe details are in {log}", err=True
        )
        sys.exit(EXIT_FAILED)


def _log_traceback() -> Path:
    from core.workspace import state_folder

    log = state_folder() / "tunedeck.log"
    with contextlib.suppress(OSError):
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"$ {' '.join(sys.argv)}\n{traceback.format_exc()}\n")
    return log


if __name__ == "__main__":
    main()
