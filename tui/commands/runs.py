"""`tunedeck train | runs | watch | stop | checkpoint | resume | compare | again | note | remove | restore`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from tui.commands.before_training import look_again, look_before, rows_beside
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
    from core.runs.folder import Run
    from core.runs.state import RunState

RunName = Annotated[
    str, typer.Argument(metavar="RUN", help='A run: its id, the start or end of it, its folder, or "last".')
]

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Start in spite of warnings.")]


def add_to(app: typer.Typer) -> None:
    app.command("train")(train)
    app.command("runs")(runs)
    app.command("watch")(watch)
    app.command("stop")(stop)
    app.command("checkpoint")(checkpoint)
    app.command("resume")(resume)
    app.command("compare")(compare)
    app.command("again")(again)
    app.command("note")(note)
    app.command("remove")(remove)
    app.command("restore")(restore)


def train(
    ctx: typer.Context,
    recipe: RecipeFile = None,
    changes: Changes = None,
    model: ModelOption = None,
    data: DataOption = None,
    loss_on: LossOnOption = None,
    template: TemplateOption = None,
    max_length: MaxLengthOption = None,
    name: Annotated[str | None, typer.Option("--name", help="A short name for the run.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the run to its end.")] = False,
    queue: Annotated[
        bool, typer.Option("--queue", help="Start it when no other run of the workspace is at work.")
    ] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Start a run of a recipe. It goes on when this command, the terminal or the link ends.

    Example: tunedeck train recipe.toml --set training.epochs=1 --wait
    """
    from core.runs.queue import enqueue
    from core.runs.start import start

    workspace = workspace_of(ctx)
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
    with rows_beside(workspace) as rows:
        look_before(workspace, chosen, rows, yes=yes)
        if queue:
            run = enqueue(workspace, chosen, name=name, prepared=rows)
            say(f"run {run.id} waits for its turn")
        else:
            run = start(workspace, chosen, name=name, prepared=rows)
            say(f"run {run.id}: the trainer is on its own now; log in {run.log}")
    if wait:
        _follow(run, as_json=as_json)
    else:
        _show(run, as_json)


def runs(
    ctx: typer.Context,
    trash: Annotated[bool, typer.Option("--trash", help="Those that were removed, instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """List all runs of the workspace, newest first."""
    from core.runs.find import find_removed, find_runs
    from tui.commands.run_lines import table

    found = find_removed(workspace_of(ctx)) if trash else find_runs(workspace_of(ctx))
    if as_json:
        print_json([state.to_json() for state in found])
    elif found:
        typer.echo("\n".join(table(found)))
    else:
        say("nothing was removed" if trash else "no runs yet; tunedeck train RECIPE starts one")


def watch(ctx: typer.Context, run: RunName = "last", as_json: AsJson = False) -> None:
    """Follow a run to its end. Leaving (ctrl-c) does not stop it.

    In a terminal a few lines are redrawn in place; in a pipe there is one line per event. With --json the last
    state is printed when the run has ended.
    """
    from core.runs.folder import open_run

    _follow(open_run(workspace_of(ctx), run), as_json=as_json)


def stop(
    ctx: typer.Context,
    run: RunName = "last",
    save: Annotated[
        bool, typer.Option("--save/--no-save", help="Write a checkpoint and the result first.")
    ] = True,
    kill: Annotated[
        bool, typer.Option("--kill", help="End the process at once; only if it does not answer.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before --kill.")] = False,
    wait_seconds: Annotated[float, typer.Option("--wait", help="Seconds to wait for the answer.")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Stop a run at the end of its step, after saving it."""
    from core.errors import UsageError
    from core.runs import control
    from core.runs.follow import wait_for_end
    from core.runs.queue import take_out

    chosen = _living(ctx, run)
    if take_out(workspace_of(ctx), chosen):
        say("it was waiting for its turn, and is taken out of the queue")
        _show(chosen, as_json)
        return
    if kill:
        if not yes and not sys.stdin.isatty():
            raise UsageError("nobody to ask whether to kill it", fix="--yes kills without asking")
        if not yes and not typer.confirm(
            f"kill {chosen.id}? What it did since its last checkpoint is lost", err=True
        ):
            raise typer.Exit(1)
        control.kill(chosen)
        say("killed")
    else:
        _ask(chosen, "stop-and-save" if save else "stop", wait_seconds)
    wait_for_end(chosen, wait_seconds)
    _show(chosen, as_json)


def checkpoint(
    ctx: typer.Context,
    run: RunName = "last",
    wait_seconds: Annotated[float, typer.Option("--wait", help="Seconds to wait for the answer.")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Write a checkpoint now, at the end of this step; the run goes on."""
    chosen = _living(ctx, run)
    _ask(chosen, "checkpoint", wait_seconds)
    _show(chosen, as_json)


def resume(
    ctx: typer.Context,
    run: RunName = "last",
    wait: Annotated[bool, typer.Option("--wait", help="Follow the run to its end.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Go on with a run that was stopped, failed or was lost, from its newest whole checkpoint."""
    from core.runs.folder import open_run
    from core.runs.resume import require_resumable
    from core.runs.resume import resume as resume_run

    workspace = workspace_of(ctx)
    chosen = open_run(workspace, run)
    require_resumable(chosen)
    look_again(workspace, chosen, yes=yes)
    step = resume_run(chosen)
    say(
        f"run {chosen.id} goes on from step {step}"
        if step
        else f"run {chosen.id} starts again: no checkpoint"
    )
    if wait:
        _follow(chosen, as_json=as_json)
    else:
        _show(chosen, as_json)


def compare(
    ctx: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="RUN RUN...", help="Two or more runs.")],
    as_json: AsJson = False,
) -> None:
    """Put runs side by side: losses, speed, memory, and the recipe keys in which they differ."""
    from core.errors import UsageError
    from core.runs.compare import compare as compare_runs
    from core.runs.folder import open_run
    from tui.commands.run_lines import comparison

    if len(names) < 2:
        raise UsageError("compare needs two runs or more")
    workspace = workspace_of(ctx)
    result = compare_runs([open_run(workspace, name) for name in names])
    if as_json:
        print_json(result.to_json())
    else:
        typer.echo("\n".join(comparison(result)))


def again(
    ctx: typer.Context,
    run: RunName,
    changes: Changes = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the run to its end.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Start a new run like an old one, with keys of its recipe changed.

    Example: tunedeck again last --set training.micro_batch=2 --set training.accumulation=8
    """
    from core.recipe import parse_recipe
    from core.runs.folder import open_run
    from core.runs.out_of_memory import name_of
    from core.runs.start import start

    workspace = workspace_of(ctx)
    old = open_run(workspace, run)
    text = old.recipe.read_text(encoding="utf-8")
    changed = parse_recipe(text, changes or (), where=str(old.recipe))
    with rows_beside(workspace) as rows:
        look_before(workspace, changed, rows, yes=yes)
        new = start(workspace, changed, name=name_of(old), prepared=rows)
    say(f"run {new.id}: the trainer is on its own now; log in {new.log}")
    if wait:
        _follow(new, as_json=as_json)
    else:
        _show(new, as_json)


def note(
    ctx: typer.Context,
    run: RunName,
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="The note.")] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", help="A tag; repeatable.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a note or tags on a run; both show in the list of runs."""
    from core.runs.folder import open_run
    from core.runs.shelf import annotate

    chosen = open_run(workspace_of(ctx), run)
    annotate(chosen, note=text, tags=tags)
    _show(chosen, as_json)


def remove(ctx: typer.Context, run: RunName) -> None:
    """Move an ended run into runs/.trash; tunedeck restore brings it back."""
    from core.runs.folder import open_run
    from core.runs.shelf import put_away

    workspace = workspace_of(ctx)
    typer.echo(str(put_away(workspace, open_run(workspace, run))))


def restore(ctx: typer.Context, run: RunName, as_json: AsJson = False) -> None:
    """Bring a removed run back from runs/.trash; tunedeck runs --trash lists them."""
    from core.runs.shelf import bring_back

    _show(bring_back(workspace_of(ctx), run), as_json)


def _living(ctx: typer.Context, name: str) -> Run:
    from core.errors import TunedeckError
    from core.runs.folder import open_run
    from core.runs.state import read_state

    run = open_run(workspace_of(ctx), name)
    state = read_state(run.folder)
    if state.ended:
        raise TunedeckError(
            f"run {run.id} has ended: {state.state}", fix="tunedeck runs lists those that live"
        )
    return run


def _ask(run: Run, what: str, wait_seconds: float) -> None:
    from core.errors import TunedeckError
    from core.runs import control
    from core.runs.state import read_state

    asked = control.request(run, what)  # type: ignore[arg-type]
    answer = control.wait_for_answer(run, asked, wait_seconds)
    state = read_state(run.folder)
    if answer is None and state.ended:
        raise TunedeckError(f"{run.id} ended before it could do that: {state.state}")
    if answer is None:
        raise TunedeckError(
            f"no answer from {run.id} within {wait_seconds:g} s; the request stands",
            fix="a long step is answered at its end; tunedeck stop --kill ends the process without saving",
        )
    if not answer["done"]:
        raise TunedeckError(f"{run.id} ended before it could do that")
    say(f"{what}: done")


def _follow(run: Run, *, as_json: bool) -> None:
    """The run on stderr until its end, then the last state on stdout; exit code 1 if the run failed."""
    from core.errors import EXIT_FAILED
    from core.runs.state import read_state
    from tui.commands.watch_view import follow_in_place, is_possible

    if is_possible(sys.stderr):
        follow_in_place(run)
    else:
        _follow_in_lines(run)
    _show(run, as_json)
    state = read_state(run.folder)
    if state.state not in ("done", "stopped") or state.phase == "killed":
        raise typer.Exit(EXIT_FAILED)


def _follow_in_lines(run: Run) -> None:
    from core.runs.follow import follow
    from tui.commands.run_lines import line_of

    for event in follow(run):
        line = line_of(event)
        if line:
            say(line)


def _show(run: Run, as_json: bool) -> None:
    from core.runs.state import read_state
    from tui.commands.run_lines import sentence

    state: RunState = read_state(run.folder)
    if as_json:
        print_json(state.to_json())
    else:
        typer.echo(sentence(state))
