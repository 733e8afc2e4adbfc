"""What a run's events come to: its curves and its latest figures, built up as events arrive.

    record = Record()
    events, offset = read_events(folder)
    record.add(events)
    record.curves["loss"].values[-1], record.last["eta_seconds"]

Numbers are taken as they are: NaN and infinite losses stay in the curve, a missing key leaves a gap.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

CURVES = ("loss", "learning_rate", "grad_norm", "tokens_per_second")
NEWEST_NOTES = 200


@dataclass
class Curve:
    """Values over optimizer steps, in the order of the events, with their smoothed form beside them.

    Smoothing is an exponential moving average with the start's bias taken out (Adam's correction,
    arXiv:1412.6980). A value that is not finite is passed on and leaves the average as it was.
    """

    weight: float = 0.8
    steps: array[float] = field(default_factory=lambda: array("d"))
    values: array[float] = field(default_factory=lambda: array("d"))
    smoothed: array[float] = field(default_factory=lambda: array("d"))
    _average: float = 0.0
    _share: float = 0.0

    def add(self, step: Any, value: Any) -> None:
        if _is_number(step) and _is_number(value):
            self.steps.append(float(step))
            self.values.append(float(value))
            self._smooth(float(value))

    def cut(self, step: Any) -> None:
        """Forget what came after a step: a resumed run does it again."""
        if not self.steps or not _is_number(step) or self.steps[-1] <= step:
            return
        kept = [(at, value) for at, value in zip(self.steps, self.values, strict=True) if at <= step]
        self.steps, self.values, self.smoothed = array("d"), array("d"), array("d")
        self._average = self._share = 0.0
        for at, value in kept:
            self.add(at, value)

    def _smooth(self, value: float) -> None:
        if math.isfinite(value):
            self._average = self.weight * self._average + (1 - self.weight) * value
            self._share = self.weight * self._share + (1 - self.weight)
        self.smoothed.append(self._average / self._share if math.isfinite(value) else value)

    @property
    def last(self) -> float | None:
        return self.values[-1] if self.values else None


@dataclass
class Record:
    """Everything shown of one run, whether it is at work or has ended."""

    curves: dict[str, Curve] = field(
        default_factory=lambda: {name: Curve() for name in (*CURVES, "eval_loss")}
    )
    last: dict[str, Any] = field(default_factory=dict)  # keys of the newest step event
    environment: dict[str, Any] = field(default_factory=dict)
    status: str = ""
    note: str = ""
    checkpoints: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)  # warnings, errors, control, newest last
    end: dict[str, Any] = field(default_factory=dict)
    first_time: float = 0.0  # of the first event, seconds since the epoch
    lived_seconds: float = 0.0  # from event to event, without the time between an end and a resumption
    _newest_time: float = 0.0

    def add(self, events: Iterable[dict[str, Any]]) -> None:
        """Take in further events, oldest first."""
        for event in events:
            self._add(event)
        del self.notes[:-NEWEST_NOTES]
        del self.samples[:-NEWEST_NOTES]

    @property
    def step(self) -> int:
        return _whole(self.end.get("step") or self.last.get("step"))

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run, 0 while unknown."""
        return _whole(self.last.get("steps") or self.environment.get("steps") or self.end.get("steps"))

    @property
    def planned_peak_bytes(self) -> int:
        return _whole(self.environment.get("planned_peak_bytes") or self.end.get("planned_peak_bytes"))

    def _add(self, event: dict[str, Any]) -> None:
        kind = event.get("kind")
        self._count_time(event)
        if kind == "step":
            self.last = {**self.last, **event}
            for name in CURVES:
                self.curves[name].add(event.get("step"), event.get(name))
        elif kind == "eval":
            self.curves["eval_loss"].add(event.get("step"), event.get("eval_loss"))
        elif kind == "status":
            self.status, self.note = str(event.get("state", "")), str(event.get("note", ""))
            self.end = {}  # a resumed run is at work again
            for curve in self.curves.values() if "step" in event else ():
                curve.cut(event["step"])
        elif kind == "environment":
            self.environment = event
        elif kind == "checkpoint":
            self.checkpoints.append(event)
        elif kind == "sample":
            self.samples.append(event)
        elif kind in ("warning", "error", "control"):
            self.notes.append(event)
        elif kind == "end":
            self.end = event

    def _count_time(self, event: dict[str, Any]) -> None:
        now = event.get("time")
        if not isinstance(now, int | float):
            return
        starts = event.get("kind") == "status" and event.get("state") == "starting"
        if self._newest_time and not starts:
            self.lived_seconds += max(now - self._newest_time, 0.0)
        self.first_time = self.first_time or now
        self._newest_time = now


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _whole(value: Any) -> int:
    return int(value) if _is_number(value) and math.isfinite(value) else 0
