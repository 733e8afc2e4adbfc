"""Plan against measurement: what finished runs peaked at, beside what was planned for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
