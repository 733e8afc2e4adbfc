"""Plan against measurement: what finished runs peaked at, beside what was planned for them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from core.errors import TunedeckError
from core.memory.cards import card_named
from core.memory.pace import Pace, pace
from core.memory.plan import Plan
from core.memory.setting import Lengths
from core.models.architecture import Architecture
from core.recipe import Recipe
from core.runs.find import find_runs
from core.runs.folder import Run, run_folders
from core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Evidence:
    """One run's plan and its measured peak. On a GPU torch's peak, on a host the process's resident peak.

    `outside_bytes` is what the device held beside the allocator's reserve, None where it was not read.
    """

    run: str
    device: str
    kind: str  # "cuda" or "cpu"
    planned_bytes: int
    measured_bytes: int
    phase: str
    outside_bytes: int | None

    @property
    def error(self) -> float:
        """Share by which the plan was high (positive) or low."""
        return self.planned_bytes / self.measured_bytes - 1

    def to_json(self) -> dict[str, Any]:
        return {**{name: getattr(self, name) for name in self.__dataclass_fields__}, "error": self.error}


def history(workspace: Workspace) -> tuple[Evidence, ...]:
    """Every finished run that has both a plan and a measured peak, oldest first."""
    found = (_evidence(Run(folder)) for folder in sorted(run_folders(workspace), key=lambda one: one.name))
    return tuple(one for one in found if one is not None)


@dataclass(frozen=True, slots=True)
class Measured:
    """Tokens per second of an earlier run, and its name."""

    tokens_per_second: float
    run: str


def earlier_speed(workspace: Workspace, recipe: Recipe, device: str) -> Measured | None:
    """The newest run of the same model, method, quantisation and device that measured its speed."""
    for state in find_runs(workspace):
        run = Run(state.folder)
        if not state.tokens_per_second or str(run.read_json(run.plan).get("device", "")) != device:
            continue
        try:
            then = run.read_recipe()
        except TunedeckError:
            continue
        if (then.model.source, then.tuner.method, then.model.quantization) == (
            recipe.model.source, recipe.tuner.method, recipe.model.quantization,
        ):  # fmt: skip
            return Measured(state.tokens_per_second, state.id)
    return None


def pace_of(
    recipe: Recipe, architecture: Architecture, made: Plan, lengths: Lengths | None, speed: Measured | None
) -> Pace:
    """Time and cost of a planned run: on an earlier run's speed, else on the card's paper throughput."""
    card = None
    if made.room.device == "cuda" and made.room.name:
        with contextlib.suppress(TunedeckError):  # a card that is not in the table has no throughput here
            card = card_named(made.room.name)
    if speed is None:
        return pace(recipe, architecture, made, lengths, card=card)
    return pace(
        recipe, architecture, made, lengths, card=card,
        tokens_per_second=speed.tokens_per_second, measured_in=speed.run,
    )  # fmt: skip


def _evidence(run: Run) -> Evidence | None:
    plan, summary = run.read_json(run.plan), run.read_json(run.summary)
    peak = plan.get("peak_allocated_bytes")
    if not isinstance(peak, int) or not summary:
        return None
    device, phase = str(plan.get("device", "")), str(plan.get("peak_phase", ""))
    allocated, resident = summary.get("peak_allocated_bytes"), summary.get("peak_rss_bytes")
    if isinstance(allocated, int) and allocated > 0:
        used, reserved = summary.get("device_used_bytes"), summary.get("peak_reserved_bytes")
        others = int(plan.get("others_bytes") or 0)
        beside = used - reserved - others if isinstance(used, int) and isinstance(reserved, int) else None
        return Evidence(run.id, device, "cuda", peak, allocated, phase, beside)
    if isinstance(resident, int) and resident > 0:
        outside = int(plan.get("outside_bytes") or 0)
        return Evidence(run.id, device, "cpu", peak + outside, resident, phase, resident - peak)
    return None
