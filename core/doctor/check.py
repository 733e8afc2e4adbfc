"""One line of the doctor's report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it stands, what was seen, and what to do.

    `fail`: something the work needs is missing or broken. `warn`: it works, with a cost to know.
    """

    check: str
    state: State
    evidence: str
    fix: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
