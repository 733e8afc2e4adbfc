"""The demo without a screen: the whole job through the real parts, step by step.

`run_demo` yields what happens as it happens; whoever asks prints it. The heavy parts run in processes of
their own: the trainer (which outlives this one), the chat worker and the workshop.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.chat.client import ChatWorker
from core.chat.messages import BASE, TUNED
from core.chat.sampling import Sampling
from core.chat.subject import Subject, of_run
from core.demo import paths
from core.demo.score import MAX_NEW_TOKENS, Request, Scores, read_requests
from core.errors import TunedeckError
from core.models.sources import locate
from core.recipe import Recipe, read_recipe
from core.runs.follow import follow
from core.runs.launch import launch
from core.runs.start import create
from core.runs.state import read_state
from core.workshop import Workshop
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.data.view import ShownRow

ROW = 0  # the training row whose tokens are shown
PROMPTS = 3  # held-out prompts that base and tuned answer side by side
RUN_NAME = "demo-yoda"


@dataclass(frozen=True, slots=True)
class RowShown:
    """One training row, token by token, as it will be trained."""

    shown: ShownRow


@dataclass(frozen=True, slots=True)
class Planned:
    """The run's folder is ready: rows prepared, memory predicted (`core.memory.plan`'s JSON; empty if unknown)."""

    run: Path
    plan: dict[str, Any]


@dataclass(frozen=True, slots=True)
class TrainerEvent:
    """One line of the run's events."""

    event: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answered:
    """A held-out prompt with both answers and the right one."""

    prompt: str
    right: str
    base: str
    tuned: str


@dataclass(frozen=True, slots=True)
class Scoring:
    """What is being measured now, in words."""

    what: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The demo's outcome. Times in seconds: `prepare` up to the launch, `train` the trainer's whole life."""

    scores: Scores
    run: Path
    prepare_seconds: float
    train_seconds: float
    total_seconds: float
    first_loss: float | None
    last_loss: float | None

    def to_json(self) -> dict[str, Any]:
        """The shape of `tunedeck demo --headless --json`; documented in docs/demo.md."""
        return {
            "scores": self.scores.to_json(),
            "run": str(self.run),
            "seconds": {
                "prepare": round(self.prepare_seconds, 2),
                "train": round(self.train_seconds, 2),
                "total": round(self.total_seconds, 2),
            },
            "loss": {"first": self.first_loss, "last": self.last_loss},
        }


Happening = RowShown | Planned | TrainerEvent | Answered | Scoring | Finished


def run_demo(workspace: Workspace, changes: Iterable[str] = ()) -> Iterator[Happening]:
    """Prepare, plan, train, answer and score; the last thing yielded is `Finished`.

    `changes` are `section.key=value` texts laid over the demo recipe. Raises TunedeckError if the run
    does not end well; its folder and log stay. Leaving the iterator early does not stop the trainer.
    """
    started = time.monotonic()
    recipe = read_recipe(paths.RECIPE, changes)
    yield RowShown(_shown_row(recipe, workspace))
    run = create(workspace, recipe, name=RUN_NAME)
    yield Planned(run.folder, run.read_json(run.plan))
    launched = time.monotonic()
    launch(run)
    losses = []
    for event in follow(run):
        if event["kind"] == "step" and event.get("loss") is not None:
            losses.append(float(event["loss"]))
        yield TrainerEvent(event)
    ended = time.monotonic()
    state = read_state(run.folder)
    if state.state != "done":
        raise TunedeckError(
            f"the run ended as {state.state.replace('_', ' ')}: {state.what}",
            where=str(run.log),
            fix=state.fix,
        )
    subject = of_run(run, workspace)
    yield from _answered(subject, read_requests(paths.HELD_OUT)[:PROMPTS])
    yield Scoring("held-out sentences, base and tuned")
    scores = _scores(subject)
    yield Finished(
        scores=scores,
        run=run.folder,
        prepare_seconds=launched - started,
        train_seconds=ended - launched,
        total_seconds=time.monotonic() - started,
        first_loss=losses[0] if losses else None,
        last_loss=losses[-1] if losses else None,
    )


def _shown_row(recipe: Recipe, workspace: Workspace) -> ShownRow:
    from core.data.view import show_row

    model = locate(recipe.model.source, recipe.model.revision, workspace)
    return show_row(recipe, model.folder, ROW, workspace=workspace.root)


def _answered(subject: Subject, requests: list[Request]) -> Iterator[Answered]:
    """Both answers to each request, greedy, from one process that holds base and adapter."""
    greedy = Sampling(temperature=0, max_tokens=MAX_NEW_TOKENS)
    with ChatWorker(subject) as worker:
        for request in requests:
            base, tuned = (
                worker.wait(worker.ask(request.prompt, who=who, sampling=greedy)).text
                for who in (BASE, TUNED)
            )
            yield Answered(request.prompt[-1]["content"], request.answer, base, tuned)


def _scores(subject: Subject) -> Scores:
    workshop = Workshop()
    try:
        scores = workshop.wait(workshop.submit("core.demo.score:score", subject=subject))
    finally:
        workshop.close()
    assert isinstance(scores, Scores)
    return scores
