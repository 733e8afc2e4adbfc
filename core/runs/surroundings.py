"""What a run finds on this machine: free memory, its disk, and other processes of ours on its devices."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from core.errors import EXIT_FAILED, TunedeckError
from core.memory.devices import read_devices, room_for
from core.memory.plan import Plan, plan
from core.memory.setting import Lengths
from core.models.architecture import Architecture
from core.models.targets import trainable_parameters
from core.recipe import ADAPTER_METHODS, Recipe
from core.runs.chat_workers import ChatProcess, chat_workers, close
from core.runs.distributed import runs_on_cpu
from core.runs.find import living_runs
from core.runs.folder import Run
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.data.prepare import Prepared

State = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the list. `evidence` is what was seen, `fix` what to do about it."""

    check: str
    state: State
    evidence: str
    fix: str = ""
    exit_code: int = field(default=EXIT_FAILED, compare=False)  # of the command, if this is what blocks it

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if key != "exit_code"}


def failed(check: str, error: TunedeckError) -> Check:
    """The line of a check that ended in an error."""
    what = f"{error.where}: {error.what}" if error.where else error.what
    return Check(check, "fail", what, error.fix, error.exit_code)


def memory_check(recipe: Recipe, architecture: Architecture, lengths: Lengths | None) -> Check:
    """The plan of this recipe against what is free now."""
    try:
        return plan_check(plan(recipe, architecture, lengths, room=room_for(recipe, read_devices())))
    except TunedeckError as error:
        return Check("memory", "skip", failed("memory", error).evidence, error.fix)


def plan_check(made: Plan) -> Check:
    """Whether the predicted peak fits what is free now."""
    peak = f"peak {gib(made.peak_allocated_bytes)} in phase {made.peak.name}"
    if made.verdict == "unknown" or made.room.available is None:
        return Check("memory", "skip", f"{peak}; no device to compare with")
    evidence = f"{peak}, {gib(made.room.available)} free on {made.room.name or made.room.device}"
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


def lengths_of(prepared: Prepared) -> Lengths:
    """The prepared rows as the plan takes them."""
    return Lengths(
        rows=prepared.examples,
        longest=prepared.longest,
        mean=prepared.tokens / max(prepared.examples, 1),
        trained_share=prepared.trained_tokens / max(prepared.tokens, 1),
    )


def stored_lengths(run: Run) -> Lengths | None:
    """The rows of a run as its `run.json` describes them; None if it does not."""
    try:
        rows = run.read_json(run.identity)["data"]
        return Lengths(
            rows=rows["examples"],
            longest=rows["longest"],
            mean=rows["tokens"] / max(rows["examples"], 1),
            trained_share=rows["trained_tokens"] / max(rows["tokens"], 1),
        )
    except (KeyError, TypeError):
        return None


def disk_checks(workspace: Workspace, recipe: Recipe, architecture: Architecture) -> Iterator[Check]:
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
    evidence = f"{kept} x {gib(size)} for checkpoints and the result, {gib(free)} free"
    fix = "free space, lower training.keep_checkpoints, or name another --workspace"
    yield Check("disk", "ok", evidence) if kept * size < free else Check("disk", "fail", evidence, fix)


def close_chats(recipe: Recipe, progress: Callable[[Any], None] | None = None) -> int:
    """Close the chats that `device_checks` names for this recipe; how many were asked to end.

    Like the checks it is meant for a child of the app: on a CPU only chats of the same app count.
    """
    return sum(close(chat) for chat in _chats_beside(recipe))


def _chats_beside(recipe: Recipe) -> tuple[ChatProcess, ...]:
    return chat_workers(on_gpu=not runs_on_cpu(recipe, read_devices(slow=False, processes=False)))


def device_checks(workspace: Workspace, recipe: Recipe, run_id: str = "") -> Iterator[Check]:
    """No other run of ours, and no chat of ours, on the same devices. `run_id` is the run itself."""
    others = [state for state in living_runs(workspace) if state.id != run_id]
    chats = _chats_beside(recipe)
    if others:
        names = ", ".join(state.id for state in others)
        fix = "both will be slower and share the memory; or queue it"
        yield Check("device", "warn", f"at work already: {names}", fix)
    for chat in chats:
        held = f"process {chat.process.pid}, {gib(chat.rss_bytes)} of host memory"
        yield Check("chat", "warn", f"a chat of tunedeck holds a model too ({held})", "close the chat")
    if not others and not chats:
        yield Check("device", "ok", "no other run of this workspace and no chat is at work")


def gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB" if count >= 2**28 else f"{count / 2**20:.1f} MiB"
