"""The curves of a run from its events. A resumed run repeats steps; the last life of each step counts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def curve(events: Iterable[dict[str, Any]], key: str = "loss", kind: str = "step") -> list[tuple[int, float]]:
    """(step, value) with steps rising. When a run went on from a checkpoint, what came after it is forgotten."""
    points: list[tuple[int, float]] = []
    for event in events:
        if event["kind"] == "status" and event.get("state") == "running":
            resumed_from = event.get("step") or 0
            while points and points[-1][0] > resumed_from:
                points.pop()
        if event["kind"] == kind and isinstance(event.get(key), int | float):
            while points and points[-1][0] >= event["step"]:
                points.pop()
            points.append((event["step"], float(event[key])))
    return points
