"""Everything that can be known before a GPU is touched, as a checklist with evidence.

A check that fails blocks the run; one that warns is asked about once (or passed with --yes).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from core.errors import EXIT_DOES_NOT_FIT, EXIT_FAILED, TunedeckError, UsageError
from core.memory.devices import read_devices, room_for
from core.memory.plan import Plan, plan
from core.memory.setting import Lengths
from core.models.architecture import Architecture
from core.models.architecture_of import read_model
from core.models.sources import ModelFiles, locate
from core.models.targets import trainable_parameters
from core.models.weight_files import refuse_pickles
from core.recipe import ADAPTER_METHODS, Recipe, require_here
from core.runs.extra import checked_extra
from core.runs.find import living_runs
from core.runs.watch import RULES
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.data.prepare import Prepared

State = Literal["ok", "warn", "fail", "skip"]
STOP_SAMPLE = 500  # rows whose last trained token is looked at


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the list. `evidence` is what was seen, `fix` what to do about it."""

    check: str
    state: State
    evidence: str
    fix: str = ""


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
        """3 if memory is all that is missing, else 1; only meant for a blocked list."""
        return EXIT_DOES_NOT_FIT if {check.check for check in self.blocking} == {"memory"} else EXIT_FAILED

    def to_json(self) -> list[dict[str, Any]]:
        return [asdict(check) for check in self.checks]


def preflight(
    workspace: Workspace, recipe: Recipe, out: Path, progress: Callable[[Any], None] | None = None
) -> Preflight:
    """Check a recipe. `out` receives the prepared rows, so that the run that follows can use them at once."""
    checks: list[Check] = []
    for check in _checks(workspace, recipe, out, progress):
        checks.append(check)
        if progress is not None:
            progress(check)
    return Preflight(tuple(checks))


def _checks(
    workspace: Workspace, recipe: Recipe, out: Path, progress: Callable[[Any], None] | None
) -> Iterator[Check]:
    try:
        require_known_names(recipe)
    except TunedeckError as error:
        yield Check("recipe", "fail", error.what, error.fix)
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
        yield Check("model", "fail", _where_and_what(error), error.fix)
        return
    yield _weights(model, architecture)
    prepared = None
    try:
        from core.data.prepare import prepare

        prepared = prepare(recipe, model.folder, out, progress, workspace=workspace.root)
    except TunedeckError as error:
        yield Check("data", "fail", _where_and_what(error), error.fix)
    if prepared is not None:
        yield data_check(prepared)
        yield from _tokens(recipe, model.folder, prepared)
    yield from _trained(recipe, architecture)
    yield from _memory(recipe, architecture, prepared)
    yield from _disk(workspace, recipe, architecture)
    yield _neighbours(workspace, recipe)


def require_known_names(recipe: Recipe) -> None:
    """Raise UsageError for a watch rule or an SFTConfig field that does not exist.

    The installed SFTConfig is only looked at where the recipe has a `[training.extra]`: it takes seconds to import.
    """
    for rule in recipe.training.stop_on:
        if rule not in RULES:
            raise UsageError(
                f'training.stop_on: there is no watch rule "{rule}"', fix=f"known: {', '.join(RULES)}"
            )
    if recipe.training.extra:
        checked_extra(recipe.training.extra)


def data_check(prepared: Prepared) -> Check:
    """Rows and their worst finding. Rows with errors are not trained; only an empty set blocks."""
    evidence = f"{prepared.examples:,} of {prepared.rows:,} rows, {prepared.trained_tokens:,} trained tokens"
    if prepared.trained_tokens == 0:
        return Check("data", "fail", evidence, "tunedeck check names the rows and the cause")
    worst = next((item for item in prepared.findings if item.severity in ("error", "warning")), None)
    if worst is None:
        return Check("data", "ok", evidence)
    return Check("data", "warn", f"{evidence}; {worst.count} rows {worst.cause}", worst.fix)


def plan_check(made: Plan) -> Check:
    """Whether the predicted peak fits what is free now."""
    peak = f"peak {_gib(made.peak_allocated_bytes)} in phase {made.peak.name}"
    if made.verdict == "unknown" or made.room.available is None:
        return Check("memory", "skip", f"{peak}; no device to compare with")
    evidence = f"{peak}, {_gib(made.room.available)} free on {made.room.name or made.room.device}"
    if made.verdict == "fits":
        return Check("memory", "ok", evidence)
    state: State = "warn" if made.verdict == "tight" else "fail"
    return Check("memory", state, f"{made.verdict}: {evidence}", "tunedeck plan shows what would make it fit")


def checkpoint_bytes(recipe: Recipe, architecture: Architecture) -> int:
    """Size of one checkpoint: what is trained, as saved, and two fp32 optimizer states of it."""
    trained = trainable_parameters(architecture, recipe.tuner)
    saved = trained.adapter_bytes
    if recipe.tuner.method not in ADAPTER_METHODS:
        saved = trained.total * (4 if recipe.model.dtype == "float32" else 2)
    state_bytes = 8 if recipe.model.dtype == "float32" or recipe.tuner.method in ADAPTER_METHODS else 4
    return saved + state_bytes * trained.trainable


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
    return Check("model", "ok", f"{kind}, {_gib(size)} of weights in {model.folder}")


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
        yield Check("trained weights", "fail", _where_and_what(error), error.fix)
        return
    share = f"{trained.trainable:,} of {trained.total:,} parameters ({100 * trained.share:.2f} %)"
    state: State = "ok" if trained.trainable else "fail"
    yield Check(
        "trained weights", state, share, "" if trained.trainable else "name other layers in tuner.targets"
    )


def _memory(recipe: Recipe, architecture: Architecture, prepared: Prepared | None) -> Iterator[Check]:
    lengths = None
    if prepared is not None and prepared.examples:
        lengths = lengths_of(prepared)
    try:
        yield plan_check(plan(recipe, architecture, lengths, room=room_for(recipe, read_devices())))
    except TunedeckError as error:
        yield Check("memory", "skip", _where_and_what(error), error.fix)


def lengths_of(prepared: Prepared) -> Lengths:
    """The prepared rows as the plan takes them."""
    return Lengths(
        rows=prepared.examples,
        longest=prepared.longest,
        mean=prepared.tokens / max(prepared.examples, 1),
        trained_share=prepared.trained_tokens / max(prepared.tokens, 1),
    )


def _disk(workspace: Workspace, recipe: Recipe, architecture: Architecture) -> Iterator[Check]:
    """The runs folder takes a file and gives it back; the checkpoints that are kept fit on its disk."""
    try:
        workspace.runs.mkdir(parents=True, exist_ok=True)
        probe = workspace.runs / f".preflight-{os.getpid()}"
        probe.write_bytes(b"tunedeck" * 512)
        whole = probe.read_bytes() == b"tunedeck" * 512
        probe.unlink()
    except OSError as error:
        yield Check(
            "output", "fail", f"{workspace.runs}: {error.strerror}", "free space or permissions there"
        )
        return
    yield Check("output", "ok" if whole else "fail", f"{workspace.runs} takes a file and gives it back")
    try:
        size = checkpoint_bytes(recipe, architecture)
    except TunedeckError:
        return  # the check of the trained weights has said why
    # The newest, the best, the one being written, and the result.
    kept = recipe.training.keep_checkpoints + 3
    free = shutil.disk_usage(workspace.runs).free
    evidence = f"{kept} x {_gib(size)} for checkpoints and the result, {_gib(free)} free"
    fix = "free space, lower training.keep_checkpoints, or name another --workspace"
    yield Check("disk", "ok", evidence) if kept * size < free else Check("disk", "fail", evidence, fix)


def _neighbours(workspace: Workspace, recipe: Recipe) -> Check:
    """No other run of ours on the same devices."""
    others = living_runs(workspace)
    if not others:
        return Check("device", "ok", "no other run of this workspace is at work")
    names = ", ".join(state.id for state in others)
    return Check(
        "device", "warn", f"at work already: {names}", "both will be slower and share the memory; or queue it"
    )


def _where_and_what(error: TunedeckError) -> str:
    return f"{error.where}: {error.what}" if error.where else error.what


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**28 else f"{count / 2**20:.1f} MiB"
