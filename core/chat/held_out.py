"""The rows an evaluation uses: the run's held-out split, or another file prepared just as the run's data was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.chat.evaluate import evaluate
from core.chat.judged import Evaluation
from core.chat.subject import Subject, base_of, subject
from core.errors import UsageError
from core.recipe import Recipe, parse_recipe, read_recipe, with_changes
from core.runs.folder import Run
from core.workspace import Workspace


def held_out(
    chosen: Subject, workspace: Workspace, data: str = "", progress: Callable[[Any], Any] | None = None
) -> tuple[Path, str]:
    """A prepared folder and the name of its data. `data` empty takes what the run held out.

    Raises UsageError if a run held nothing out, or if a model without a run is given no data.
    """
    from core.data.prepare import prepare

    run = Run(chosen.run) if chosen.run is not None else None
    if not data:
        noted = run.read_json(run.identity).get("data", {}).get("eval_folder") if run is not None else None
        if run is None or not noted:
            raise UsageError(
                "no held-out rows: the run kept none aside"
                if run
                else "a model has no held-out rows of its own",
                where=chosen.label,
                fix="name a file with --data",
            )
        return run.folder / noted, f"the held-out rows of {run.id}"
    recipe = _recipe(chosen)
    changed = with_changes(recipe, {"data.source": data, "data.eval_source": "", "data.eval_fraction": 0.0})
    name = "".join(c if c.isalnum() else "-" for c in data).strip("-")[-60:]
    out = evaluations_folder(chosen, workspace) / "data" / name
    prepared = prepare(
        changed, chosen.template_folder or chosen.model_folder, out, progress, workspace=workspace.root
    )
    return prepared.folder, data


def evaluate_named(
    *,
    named: str,
    root: Path,
    against: str = "",
    data: str = "",
    shots: int = 0,
    general: bool = False,
    limit: int | None = None,
    max_tokens: int | None = None,
    batch_size: int = 16,
    generate: bool = True,
    form: str = "",
    progress: Callable[[Any], None] = lambda value: None,
) -> Evaluation:
    """`evaluate` for what a person named: a job of the workshop. `against` is "", "base" or another model.

    `form` empty takes the recipe's `evaluate.form`. Raises UsageError for `shots` without a run to take them from.
    """
    workspace = Workspace(root)
    chosen = subject(named, workspace)
    other = None
    if against == "base":
        other = base_of(chosen)
    elif against:
        other = subject(against, workspace)
    rows, name = held_out(chosen, workspace, data)
    return evaluate(
        chosen,
        rows,
        data=name,
        out=evaluations_folder(chosen, workspace),
        against=other,
        shots=shots,
        examples_folder=_training_rows(chosen) if shots else None,
        general=general,
        limit=limit,
        max_tokens=max_tokens,
        batch_size=batch_size,
        generate=generate,
        form=form or _recipe(chosen).evaluate.form,
        progress=progress,
    )


def evaluations_folder(chosen: Subject, workspace: Workspace) -> Path:
    """Where the evaluations of a run, or of a model without one, are kept."""
    if chosen.run is not None:
        return chosen.run / "evaluations"
    return workspace.root / "evaluations" / chosen.label.replace("/", "--")


def _training_rows(chosen: Subject) -> Path:
    """The prepared rows a run was trained on: examples to show the base before a prompt."""
    if chosen.run is None:
        raise UsageError(
            "examples come from a run's training rows, and this is no run",
            where="--shots",
            fix="name a run, or leave --shots out",
        )
    run = Run(chosen.run)
    return run.folder / str(run.read_json(run.identity).get("data", {}).get("folder", "data"))


def _recipe(chosen: Subject) -> Recipe:
    if chosen.run is not None:
        return read_recipe(chosen.run / "recipe.toml")
    return parse_recipe("")
