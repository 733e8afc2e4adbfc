"""Everything that can be known before a GPU is touched, as a checklist with evidence.

A check that fails blocks the run; one that warns is asked about once (or passed with --yes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import EXIT_DOES_NOT_FIT, MissingError, TunedeckError, UsageError
from core.models.architecture import Architecture
from core.models.architecture_of import read_model
from core.models.sources import ModelFiles, is_hub_id, locate
from core.models.targets import trainable_parameters
from core.models.weight_files import refuse_pickles
from core.recipe import Recipe, require_here
from core.runs.data_line import data_line
from core.runs.folder import Run
from core.runs.surroundings import (
    Check,
    State,
    device_checks,
    disk_checks,
    failed,
    gib,
    lengths_of,
    memory_check,
    stored_lengths,
)
from core.runs.watch import RULES
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.data.prepare import Prepared

STOP_SAMPLE = 500  # rows whose last trained token is looked at


@dataclass(frozen=True, slots=True)
class Preflight:
    """The whole list, in the order it was made; it ends early where a later check makes no sense."""

    checks: tuple[Check, ...]

    @property
    def blocking(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.state == "fail")

    @property
    def warnings(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.state == "warn")

    @property
    def exit_code(self) -> int:
        """3 if memory is all that is missing, else that of the first check that blocks; for a blocked list."""
        if {check.check for check in self.blocking} == {"memory"}:
            return EXIT_DOES_NOT_FIT
        return self.blocking[0].exit_code

    def to_json(self) -> list[dict[str, Any]]:
        return [check.to_json() for check in self.checks]


def preflight(
    workspace: Workspace, recipe: Recipe, out: Path, progress: Callable[[Any], None] | None = None
) -> Preflight:
    """Check a recipe. `out` receives the prepared rows, so that the run that follows can use them at once."""
    return _listed(_checks(workspace, recipe, out, progress), progress)


def preflight_resume(
    workspace: Workspace, run: Run, progress: Callable[[Any], None] | None = None
) -> Preflight:
    """What may have changed since a run was checked and started: model, memory, disk, devices."""
    return _listed(_resume_checks(workspace, run), progress)


def _listed(checks: Iterator[Check], progress: Callable[[Any], None] | None) -> Preflight:
    seen: list[Check] = []
    for check in checks:
        seen.append(check)
        if progress is not None:
            progress(check)
    return Preflight(tuple(seen))


def _resume_checks(workspace: Workspace, run: Run) -> Iterator[Check]:
    recipe = run.read_recipe()
    try:
        require_here(recipe)
        model = locate(recipe.model.source, recipe.model.revision, workspace)
        architecture = read_model(model.folder)
    except TunedeckError as error:
        yield _model_missing(recipe, error)
        return
    yield _weights(model, architecture)
    yield memory_check(recipe, architecture, stored_lengths(run))
    yield from disk_checks(workspace, recipe, architecture)
    yield from device_checks(workspace, recipe, run.id)


def _checks(
    workspace: Workspace, recipe: Recipe, out: Path, progress: Callable[[Any], None] | None
) -> Iterator[Check]:
    try:
        require_known_names(recipe)
    except TunedeckError as error:
        yield failed("recipe", error)
        return
    yield Check(
        "recipe",
        "ok",
        f"{recipe.tuner.method}, effective batch {recipe.effective_batch}, "
        f"learning rate {recipe.learning_rate:g}, {recipe.model.dtype}",
    )
    try:
        require_here(recipe)
        model = locate(recipe.model.source, recipe.model.revision, workspace)
        architecture = read_model(model.folder)
        refuse_pickles(model.folder, recipe.model.allow_pickle)
    except TunedeckError as error:
        yield _model_missing(recipe, error)
        return
    yield _weights(model, architecture)
    prepared = None
    try:
        from core.data.prepare import prepare

        prepared = prepare(recipe, model.folder, out, progress, workspace=workspace.root)
    except TunedeckError as error:
        yield failed("data", error)
    if prepared is not None:
        yield data_line(recipe, model.folder, prepared, workspace.root, progress)
        yield from _tokens(recipe, model.folder, prepared)
    yield from _trained(recipe, architecture)
    lengths = lengths_of(prepared) if prepared is not None and prepared.examples else None
    yield memory_check(recipe, architecture, lengths)
    yield from disk_checks(workspace, recipe, architecture)
    yield from device_checks(workspace, recipe)


def require_known_names(recipe: Recipe) -> None:
    """Raise UsageError for a watch rule that does not exist."""
    for rule in recipe.training.stop_on:
        if rule not in RULES:
            raise UsageError(
                f'training.stop_on: there is no watch rule "{rule}"', fix=f"known: {', '.join(RULES)}"
            )


def _model_missing(recipe: Recipe, error: TunedeckError) -> Check:
    """Why the model is not at hand; for one of the Hub, whether this machine may have it at all."""
    source = recipe.model.source
    if not isinstance(error, MissingError) or not is_hub_id(source):
        return failed("model", error)
    from core.models.hub import HubUnreachable
    from core.models.hub_files import may_download

    try:
        needs = may_download(source, recipe.model.revision)
    except HubUnreachable as unreachable:
        return replace(failed("model", error), evidence=f"{source}: {error.what}, and {unreachable.what}")
    except TunedeckError as refusal:
        return failed("model", refusal)
    return replace(failed("model", error), evidence=f"{source}: {error.what}; {needs}")


def _weights(model: ModelFiles, architecture: Architecture) -> Check:
    if model.kind == "config":
        return Check("model", "fail", "a bare config.json has no weights", "name a model folder or a Hub id")
    files = [file for pattern in ("*.safetensors", "*.bin") for file in model.folder.glob(pattern)]
    if not files:
        return Check("model", "fail", f"no weights in {model.folder}", f"tunedeck models get {model.source}")
    size = sum(file.stat().st_size for file in files)
    total = architecture.parameters.total
    size_in_words = f"{total / 1e9:.2f} B" if total >= 1e9 else f"{total / 1e6:.1f} M"
    kind = f"{architecture.family}, {size_in_words} parameters"
    return Check("model", "ok", f"{kind}, {gib(size)} of weights in {model.folder}")


def _tokens(recipe: Recipe, model_folder: Path, prepared: Prepared) -> Iterator[Check]:
    """Pad is not the end token; the end token is trained."""
    import datasets

    from core.data.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(model_folder, trust_remote_code=recipe.model.trust_remote_code)
    pad, eos = (tokenizer.special_texts.get(name) for name in ("pad_token", "eos_token"))
    if pad is not None and pad != eos:
        yield Check("pad token", "ok", f"pad {pad}, end {eos}")
    else:
        # The trainer then takes a reserved token; its collator masks by length, so the end token stays trained.
        yield Check("pad token", "ok", f"pad is {pad or 'not set'}; the trainer takes another token")
    stops = {tokenizer.id_of(text) for text in tokenizer.stop_texts}
    rows = datasets.load_from_disk(str(prepared.folder)).select_columns(["labels"])
    sample = rows.select(range(min(len(rows), STOP_SAMPLE)))["labels"]
    ends = [next((label for label in reversed(row) if label != -100), None) for row in sample]
    missing = sum(end not in stops for end in ends)
    if not missing:
        yield Check("stop token", "ok", f"the last trained token of {len(ends)} rows is an end token")
    else:
        yield Check(
            "stop token",
            "warn",
            f"{missing} of {len(ends)} rows end without a trained end token: answers may run on",
            "tunedeck show prints such a row token by token",
        )


def _trained(recipe: Recipe, architecture: Architecture) -> Iterator[Check]:
    try:
        trained = trainable_parameters(architecture, recipe.tuner)
    except TunedeckError as error:
        yield failed("trained weights", error)
        return
    share = f"{trained.trainable:,} of {trained.total:,} parameters ({100 * trained.share:.2f} %)"
    state: State = "ok" if trained.trainable else "fail"
    yield Check(
        "trained weights", state, share, "" if trained.trainable else "name other layers in tuner.targets"
    )
