"""`tunedeck export torchrun | slurm | skypilot | kubernetes`: files that train a recipe on other machines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tui.commands.options import AsJson, Changes, print_json, say, workspace_of

if TYPE_CHECKING:
    from core.recipe import Recipe
    from core.workspace import Workspace

TARGETS = {
    "torchrun": "One script to start on every node.",
    "slurm": "A batch script for Slurm, on a file system that all nodes see.",
    "skypilot": "A task for SkyPilot.",
    "kubernetes": "An indexed Job and its Service for Kubernetes.",
}

RunOrRecipe = Annotated[
    str,
    typer.Argument(metavar="RUN|RECIPE", help='A recipe file, or a run: its id, its folder, or "last".'),
]
Nodes = Annotated[
    int, typer.Option("--nodes", metavar="N", help="Machines that share launch.processes evenly.")
]
Gpu = Annotated[
    str, typer.Option("--gpu", metavar="NAME", help="SkyPilot's name of the GPU, for example H100.")
]


def add_to(exports: typer.Typer) -> None:
    for target, what in TARGETS.items():
        exports.command(target, help=_help(target, what))(_command(target))


def _command(target: str):  # type: ignore[no-untyped-def]
    def command(
        ctx: typer.Context,
        named: RunOrRecipe,
        changes: Changes = None,
        nodes: Nodes = 1,
        gpu: Gpu = "",
        as_json: AsJson = False,
    ) -> None:
        from core.export.launch_files import launch_files

        workspace = workspace_of(ctx)
        recipe, prepared, name = _recipe_of(workspace, named, changes or [])
        run, files = launch_files(
            workspace, recipe, target, nodes=nodes, gpu=gpu, name=name, prepared=prepared
        )
        if as_json:
            print_json({"id": run.id, "folder": str(run.folder), "files": [str(file) for file in files]})
            return
        typer.echo("\n".join(map(str, files)))
        say(f"run {run.id} is prepared; it starts where {files[-1].name} is started")

    return command


def _recipe_of(
    workspace: Workspace, named: str, changes: list[str]
) -> tuple[Recipe, Path | None, str | None]:
    """The recipe, the prepared rows where a run has them for this very recipe, and the run's short name."""
    from core.recipe import parse_recipe, read_recipe
    from core.runs.folder import open_run
    from core.runs.out_of_memory import name_of, rows_for

    file = Path(named).expanduser()
    if named.endswith(".toml") or file.is_file():
        return read_recipe(file, changes), None, None
    old = open_run(workspace, named)
    recipe = parse_recipe(old.recipe.read_text(encoding="utf-8"), changes, where=str(old.recipe))
    return recipe, rows_for(old, recipe), name_of(old)


def _help(target: str, what: str) -> str:
    gpu = " --gpu H100" if target == "skypilot" else ""
    return (
        f"{what} It trains the same recipe, on rows prepared here, by the same trainer.\n\n"
        f"Example: tunedeck export {target} recipe.toml --set launch.strategy=ddp --set launch.processes=2 --nodes 2{gpu}"
    )
