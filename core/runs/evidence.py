"""Plan against measurement: what finished runs peaked at, beside what was planned for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.errors import TunedeckError
from core.memory.calibration import Taught
from core.memory.cards import card_of
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

    `outside_bytes` is what the device held beside the allocator's reserve, `reserved_bytes` the allocator's own
    peak; None where it was not read. `phases` sets plan beside measurement for every phase, see `versus`.
    """

    run: str
    device: str
    kind: str  # "cuda" or "cpu"
    planned_bytes: int
    measured_bytes: int
    phase: str
    outside_bytes: int | None
    reserved_bytes: int | None = None
    phases: tuple[dict[str, Any], ...] = ()

    @property
    def taught(self) -> Taught:
        """What this run says of its device: bytes beside the allocator, and its reserve over what was allocated."""
        share = self.reserved_bytes / self.measured_bytes - 1 if self.reserved_bytes else None
        return Taught(self.device, self.run, self.outside_bytes, share)

    @property
    def error(self) -> float:
        """Share by which the plan was high (positive) or low."""
        return self.planned_bytes / self.measured_bytes - 1

    def to_json(self) -> dict[str, Any]:
        found = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**found, "phases": list(self.phases), "error": self.error}


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
    # A card that is not in the table has no throughput here.
    card = card_of(made.room.name) if made.room.device == "cuda" else None
    if speed is None:
        return pace(recipe, architecture, made, lengths, card=card)
    return pace(
        recipe, architecture, made, lengths, card=card,
        tokens_per_second=speed.tokens_per_second, measured_in=speed.run,
    )  # fmt: skip


# Phases that the trainer measures, and the plan's phases that fall into them.
MATCHES = (
    ("load", ("load",), ("load",)),
    ("forward and backward", ("forward", "backward"), ("loss", "block", "end_bwd")),
    ("optimizer", ("optimizer",), ("step",)),
    ("evaluation", ("evaluation",), ("eval",)),
)


def versus(plan: dict[str, Any], measured: dict[str, Any]) -> list[dict[str, Any]]:
    """Plan beside measurement by phase: `phase`, `planned_bytes`, `measured_bytes`, `meter`, `error`.

    `plan` is the run's plan.json, `measured` the phases of its summary. `meter` says what was measured: torch's
    allocated peak, or on a host the resident size of the process, which the plan's bytes outside are added to.
    """
    rows: list[dict[str, Any]] = []
    planned = plan.get("phases")
    if not isinstance(planned, dict) or not isinstance(measured, dict):
        return rows
    outside = int(plan.get("outside_bytes") or 0)
    for name, ours, theirs in MATCHES:
        sums = [sum(planned[one].values()) for one in theirs if planned.get(one)]
        found = [measured[one] for one in ours if isinstance(measured.get(one), dict)]
        for key, meter, beside in (
            ("peak_allocated_bytes", "allocated", 0),
            ("peak_rss_bytes", "resident", outside),
        ):
            values = [one[key] for one in found if isinstance(one.get(key), int) and one[key] > 0]
            if sums and values:
                bytes_planned, bytes_measured = max(sums) + beside, max(values)
                rows.append(
                    {
                        "phase": name, "planned_bytes": bytes_planned, "measured_bytes": bytes_measured,
                        "meter": meter, "error": bytes_planned / bytes_measured - 1,
                    }
                )  # fmt: skip
                break
    return rows


def _evidence(run: Run) -> Evidence | None:
    plan, summary = run.read_json(run.plan), run.read_json(run.summary)
    peak = plan.get("peak_allocated_bytes")
    if not isinstance(peak, int) or not summary:
        return None
    device, phase = str(plan.get("device", "")), str(plan.get("peak_phase", ""))
    allocated, resident = summary.get("peak_allocated_bytes"), summary.get("peak_rss_bytes")
    phases = tuple(versus(plan, summary.get("phases") or {}))
    if isinstance(allocated, int) and allocated > 0:
        reserved = summary.get("peak_reserved_bytes")
        beside = _beside_the_allocator(summary, int(plan.get("others_bytes") or 0))
        return Evidence(run.id, device, "cuda", peak, allocated, phase, beside, reserved, phases)
    if isinstance(resident, int) and resident > 0:
        outside = int(plan.get("outside_bytes") or 0)
        return Evidence(run.id, device, "cpu", peak + outside, resident, phase, resident - peak, None, phases)
    return None


def _beside_the_allocator(summary: dict[str, Any], others: int) -> int | None:
    """The device's reading less the allocator's reserve at the same moment, at the fullest of the phases."""
    found = [
        one["device_used_bytes"] - one["reserved_bytes"] - others
        for one in (summary.get("phases") or {}).values()
        if isinstance(one.get("device_used_bytes"), int) and isinstance(one.get("reserved_bytes"), int)
    ]
    if found:
        return int(max(found))
    used, reserved = summary.get("device_used_bytes"), summary.get("peak_reserved_bytes")
    return used - reserved - others if isinstance(used, int) and isinstance(reserved, int) else None
