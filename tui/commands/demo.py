"""`tunedeck demo`: the whole job on the embedded model and data, on the screen or without one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tui.commands.options import AsJson, Changes, print_json, say, workspace_of

if TYPE_CHECKING:
    from core.demo.headless import Answered, Finished, Happening, Planned

BAR_CELLS = 30
PIPE_LINES = 10  # progress lines where no terminal shows a bar


def add_to(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo(
    ctx: typer.Context,
    headless: Annotated[
        bool, typer.Option("--headless", help="Without the screen: lines and a table.")
    ] = False,
    changes: Changes = None,
    as_json: AsJson = False,
) -> None:
    """Teach the embedded model to speak in Yoda order: prepare, train, chat. A minute or two on a CPU.

    In a terminal the app opens on it. With --headless, --json or without a terminal it is lines.

    Example: tunedeck demo --headless --json
    """
    workspace = workspace_of(ctx)
    in_terminal = sys.stdin.isatty() and sys.stdout.isatty() and sys.stderr.isatty()
    if in_terminal and not (headless or as_json or changes):
        from tui.commands.screen import open_demo

        raise typer.Exit(open_demo(workspace))

    from core.demo.headless import Finished, run_demo

    progress = _Progress()
    try:
        for happening in run_demo(workspace, changes or ()):
            if isinstance(happening, Finished) and as_json:
                print_json(happening.to_json())
                return
            for line in _lines(happening, progress):
                say(line) if as_json else typer.echo(line)
    except KeyboardInterrupt:
        if progress.training:
            say("the trainer goes on by itself; tunedeck watch last follows it, tunedeck stop last ends it")
        raise


def _lines(happening: Happening, progress: _Progress) -> Iterator[str]:
    """What to print for one step of the demo. The progress of the trainer goes to stderr by itself."""
    from core.demo.headless import Answered, Finished, Planned, RowShown, Scoring, TrainerEvent
    from tui.commands.shown import shown_lines

    if isinstance(happening, RowShown):
        yield "One row, token by token. ⟦ marks what is trained; - is a label that carries no loss."
        yield from shown_lines(happening.shown, ids=True)
        yield ""
    elif isinstance(happening, Planned):
        yield from _plan_lines(happening)
        say(f"training in a process of its own: {happening.run}")
    elif isinstance(happening, TrainerEvent):
        progress.told(happening.event)
    elif isinstance(happening, Answered):
        yield from _answer_lines(happening)
    elif isinstance(happening, Scoring):
        say(f"measuring: {happening.what} ...")
    elif isinstance(happening, Finished):
        yield from _score_lines(happening)


def _plan_lines(planned: Planned) -> Iterator[str]:
    from tui.commands.run_lines import aligned, gib

    plan = planned.plan
    if not plan:
        yield "Predicted memory: unknown for this model"
        return
    yield f"Predicted memory: {gib(plan['peak_allocated_bytes'])} at the peak, in phase {plan['peak_phase']}. By phase, in MiB:"
    phases: dict[str, dict[str, int]] = plan["phases"]
    categories = list(dict.fromkeys(category for held in phases.values() for category in held))
    rows = [("", *phases)]
    for category in categories:
        rows.append((category, *(_mebibytes(held.get(category)) for held in phases.values())))
    rows.append(("in all", *(_mebibytes(sum(held.values())) for held in phases.values())))
    yield from (f"  {line}" for line in aligned(rows))
    yield ""


def _mebibytes(count: int | None) -> str:
    return "-" if count is None else f"{count / 2**20:.1f}"


def _answer_lines(answered: Answered) -> Iterator[str]:
    from tui.widgets.text import visible

    yield f"> {visible(answered.prompt)}"
    yield f"  base   {visible(answered.base)}"
    yield f"  tuned  {visible(answered.tuned)}"
    yield ""


def _score_lines(finished: Finished) -> Iterator[str]:
    scores = finished.scores
    yield "Held-out sentences said exactly right"
    for name, value in (
        ("base model, plain order", scores.base_repeats),
        ("base model, Yoda order", scores.base_yoda),
        ("tuned model, Yoda order", scores.tuned_yoda),
        ("tuned, adapter off, plain order", scores.adapter_off_repeats),
    ):
        yield f"  {name:<34} {'-' if value is None else f'{value:.0%}':>5}"
    first, last = (
        "-" if loss is None else f"{loss:.3f}" for loss in (finished.first_loss, finished.last_loss)
    )
    yield f"Loss from {first} to {last}"
    yield (
        f"Prepared in {finished.prepare_seconds:.1f} s, trained in {finished.train_seconds:.1f} s, "
        f"{finished.total_seconds:.1f} s in all"
    )
    yield f"Run {finished.run}"
    yield f"Go on: tunedeck chat {finished.run.name}"


class _Progress:
    """The trainer's progress on stderr: one bar that is redrawn in a terminal, a few lines in a pipe."""

    def __init__(self) -> None:
        self._bar = sys.stderr.isatty()
        self._shown = -1
        self.training = False

    def told(self, event: dict[str, Any]) -> None:
        from tui.commands.run_lines import line_of

        self.training = event["kind"] != "end"
        if event["kind"] == "step" and event.get("steps"):
            self._step(event, line_of(event))
        elif event["kind"] in ("environment", "eval", "warning", "error", "end"):
            typer.echo(("\r\x1b[K" if self._bar else "") + line_of(event), err=True)

    def _step(self, event: dict[str, Any], line: str) -> None:
        share = event["step"] / event["steps"]
        if self._bar:
            filled = round(share * BAR_CELLS)
            typer.echo(f"\r\x1b[K{'█' * filled}{'░' * (BAR_CELLS - filled)} {line}", err=True, nl=False)
        elif int(share * PIPE_LINES) > self._shown:
            self._shown = int(share * PIPE_LINES)
            typer.echo(line, err=True)
