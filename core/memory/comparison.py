"""A dry run beside the plan of the same step, in one line and in figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.memory.figure import in_gib

NEAR = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """The peaks of a dry run and of the formulas, in bytes."""

    traced_bytes: int
    planned_bytes: int

    @property
    def difference(self) -> float:
        """How much more the dry run counts than the plan, as a share of the plan."""
        return self.traced_bytes / self.planned_bytes - 1 if self.planned_bytes else 0.0

    @property
    def near(self) -> bool:
        return abs(self.difference) <= NEAR

    @property
    def words(self) -> str:
        return (
            f"dry run {in_gib(self.traced_bytes)}, plan {in_gib(self.planned_bytes)}: "
            f"{100 * self.difference:+.0f} %"
        )

    @property
    def advice(self) -> str:
        """What to make of it where the two are apart; empty where they agree."""
        return "" if self.near else "they differ by more than 5 %: count on the larger of the two"

    def to_json(self) -> dict[str, Any]:
        return {
            "traced_bytes": self.traced_bytes, "planned_bytes": self.planned_bytes,
            "difference": round(self.difference, 4), "words": self.words, "advice": self.advice,
        }  # fmt: skip
