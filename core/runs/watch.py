"""Watch rules: what a person would notice in the curves of a run, said in plain words while it can still help.

The rules look at events only, so they judge a live run and an old one alike. They warn; whether a warning
ends the run is the recipe's choice (`training.stop_on`).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Any, TypeGuard

WINDOW = 20  # step events that are compared with each other
LONG = 60
SPIKE = 6.0  # standard deviations
NORM_FACTOR = 10.0
SLOW_SHARE = 0.6
CREEP_SHARE = 1.10
CREEP_BYTES = 256 * 2**20

RULES = (
    "not finite",
    "loss flat",
    "loss rising",
    "over-fit",
    "spike",
    "gradient norm",
    "throughput",
    "memory creep",
    "no trained tokens",
)


@dataclass(frozen=True, slots=True)
class Alarm:
    """A rule that fired, and what it saw."""

    rule: str
    what: str


@dataclass
class Watcher:
    """Feed it step and eval events in order. Each rule speaks once, and again only after it was calm."""

    _losses: deque[float] = field(default_factory=lambda: deque(maxlen=LONG))
    _norms: deque[float] = field(default_factory=lambda: deque(maxlen=LONG))
    _rates: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW // 2))
    _memory: deque[int] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _evals: list[tuple[int, float, float | None]] = field(default_factory=list)
    _steps_seen: int = 0
    _first_losses: list[float] = field(default_factory=list)
    _first_rates: list[float] = field(default_factory=list)
    _first_memory: list[int] = field(default_factory=list)
    _best_window: float = math.inf
    _trained_tokens: int = 0
    _ringing: set[str] = field(default_factory=set)

    def see(self, event: dict[str, Any]) -> list[Alarm]:
        """The rules that this event sets off; empty for most."""
        if event["kind"] == "step":
            alarms = self._step(event)
        elif event["kind"] == "eval":
            alarms = {"over-fit": self._overfit(event)}
        else:
            return []
        return self._new(alarms)

    def _new(self, alarms: dict[str, str]) -> list[Alarm]:
        """Only what was calm before rings; a rule that is calm now may ring again later."""
        new = [Alarm(rule, what) for rule, what in alarms.items() if what and rule not in self._ringing]
        self._ringing -= {rule for rule, what in alarms.items() if not what}
        self._ringing |= {alarm.rule for alarm in new}
        return new

    def _step(self, event: dict[str, Any]) -> dict[str, str]:
        self._steps_seen += 1
        loss, norm, step = event.get("loss"), event.get("grad_norm"), event["step"]
        alarms = {
            "not finite": "" if _finite(loss) else f"the loss is not a number at step {step}",
            "no trained tokens": self._no_tokens(event),
            "spike": self._spike(step, loss),
            "gradient norm": self._norm(step, norm),
            "throughput": self._throughput(event.get("tokens_per_second")),
            "memory creep": self._creep(event.get("allocated_bytes")),
        }
        if _finite(loss):
            self._losses.append(loss)
            if len(self._first_losses) < WINDOW:
                self._first_losses.append(loss)
        alarms["loss flat"] = self._flat()
        alarms["loss rising"] = self._rising()
        return alarms

    def _no_tokens(self, event: dict[str, Any]) -> str:
        trained = event.get("trained_tokens")
        if trained is None:
            return ""
        before, self._trained_tokens = self._trained_tokens, trained
        if trained > before:
            return ""
        return f"no token carried loss up to step {event['step']}: tunedeck check lists the rows"

    def _spike(self, step: int, loss: float | None) -> str:
        recent = list(self._losses)[-WINDOW:]
        if not _finite(loss) or len(recent) < WINDOW:
            return ""
        usual = fmean(recent)
        # Not statistics.pstdev: its exact fractions cost more than all other rules together.
        spread = max(math.sqrt(fmean((value - usual) ** 2 for value in recent)), 0.01)
        if loss < usual + SPIKE * spread or loss < 1.5 * usual:
            return ""
        return (
            f"the loss jumped from about {usual:.3f} to {loss:.3f} at step {step}: look at the rows around it"
        )

    def _norm(self, step: int, norm: float | None) -> str:
        if norm is None:
            return ""
        if not _finite(norm):
            return f"the gradient norm is not a number at step {step}"
        usual = median(self._norms) if len(self._norms) >= WINDOW else None
        self._norms.append(norm)
        if usual is None or norm < NORM_FACTOR * max(usual, 0.05):
            return ""
        return (
            f"the gradient norm is {norm:.1f} at step {step}, usually {usual:.2f}: "
            "a lower learning rate or max_grad_norm = 0.3 calms it"
        )

    def _throughput(self, rate: float | None) -> str:
        if not rate:
            return ""
        self._rates.append(rate)
        if len(self._first_rates) < WINDOW:
            if self._steps_seen > 3:  # the first steps warm up
                self._first_rates.append(rate)
            return ""
        before, now = median(self._first_rates), median(self._rates)
        if now > SLOW_SHARE * before:
            return ""
        return f"{now:,.0f} tokens/s now, {before:,.0f} at the start: other work on this machine, heat, or a slow disk"

    def _creep(self, allocated: int | None) -> str:
        if not allocated:
            return ""
        self._memory.append(allocated)
        if len(self._first_memory) < WINDOW:
            if self._steps_seen > 3:  # the optimizer's states come with the first steps
                self._first_memory.append(allocated)
            return ""
        before, now = min(self._first_memory), min(self._memory)
        if now < CREEP_SHARE * before or now < before + CREEP_BYTES:
            return ""
        return f"memory between steps grew from {before / 2**30:.2f} to {now / 2**30:.2f} GiB and does not come back"

    def _flat(self) -> str:
        if self._steps_seen < LONG or len(self._losses) < WINDOW:
            return ""
        before, now = fmean(self._first_losses), fmean(list(self._losses)[-WINDOW:])
        if abs(now - before) > 0.02 * abs(before):
            return ""
        return (
            f"the loss has stayed at {now:.3f} for {self._steps_seen} step events: raise the learning rate, "
            "or see with tunedeck show whether the trained tokens are the right ones"
        )

    def _rising(self) -> str:
        if len(self._losses) < 2 * WINDOW:
            return ""
        losses = list(self._losses)
        now, before = fmean(losses[-WINDOW:]), fmean(losses[-2 * WINDOW : -WINDOW])
        self._best_window = min(self._best_window, before)
        if now < 1.15 * self._best_window or now < before or now - self._best_window < 0.05:
            return ""
        return f"the loss rises: {self._best_window:.3f} at its best, {now:.3f} now; lower the learning rate"

    def _overfit(self, event: dict[str, Any]) -> str:
        loss = event.get("eval_loss")
        if not _finite(loss):
            return ""
        train = fmean(list(self._losses)[-WINDOW:]) if self._losses else None
        self._evals.append((event["step"], loss, train))
        if len(self._evals) < 3:
            return ""
        best_step, best, train_then = min(self._evals, key=lambda entry: entry[1])
        (_, before, _), (_, now, train_now) = self._evals[-2:]
        risen = now > before > best or (now > before and before == best and now > 1.02 * best)
        falls = train_now is not None and train_then is not None and train_now < train_then
        if not (risen and falls):
            return ""
        return (
            f"eval loss rises ({best:.3f} at step {best_step}, {now:.3f} now) while the training loss falls: "
            "the run starts to learn the rows by heart; the best checkpoint is kept"
        )


def _finite(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)
