"""The named values beside the curve: how it learns, what it takes against the plan, what it has cost."""

from __future__ import annotations

import math
from typing import Any

from core.runs.cost import cost
from core.runs.record import Record
from core.runs.state import RunState
from tui.widgets.numbers import UNKNOWN, count, dollars, duration, figure, gib, share

Figure = tuple[str, str, str]  # name, value, style


def figures(state: RunState, record: Record, price_per_hour: float | None = None) -> list[Figure]:
    """All of them, three to a line where there is little room."""
    last, loss = record.last, record.curves["loss"]
    smoothed = loss.smoothed[-1] if loss.smoothed else None
    saved = record.checkpoints[-1].get("step") if record.checkpoints else state.checkpoint_step
    seconds = record.lived_seconds or state.seconds
    return [
        ("loss", figure(loss.last), "bad" if _broken(loss.last) else ""),
        ("smoothed", figure(smoothed), ""),
        ("eval", figure(record.curves["eval_loss"].last), ""),
        ("rate", figure(last.get("learning_rate"), 3), ""),
        ("grad", figure(last.get("grad_norm"), 3), ""),
        ("tokens/s", count(last.get("tokens_per_second")), ""),
        *_memory(state, record),
        ("busy", _busy(last), ""),
        ("cost", _cost(price_per_hour, seconds, last.get("eta_seconds"), ended=state.ended), ""),
        ("saved", f"step {saved}" if saved is not None else UNKNOWN, ""),
        ("time", duration(seconds), ""),
        ("epoch", figure(last.get("epoch"), 3), ""),
        ("tokens", count(last.get("tokens")), ""),
    ]


def _memory(state: RunState, record: Record) -> list[Figure]:
    """Memory now and at its peak, each as a part of what was planned; of the host where there is no device."""
    last = record.last
    allocated = last.get("allocated_bytes")
    peak = last.get("peak_allocated_bytes") or state.peak_allocated_bytes
    planned = record.planned_peak_bytes or state.planned_peak_bytes or 0
    if allocated is None and peak is None:
        host = last.get("peak_rss_bytes") or state.peak_rss_bytes
        return [("planned", gib(planned or None), ""), ("host peak", gib(host), ""), ("memory", UNKNOWN, "")]
    over = bool(planned and peak and peak > planned)
    shown = f"{gib(peak)} > plan!" if over else _against(peak, planned)
    return [
        ("memory", _against(allocated, planned), ""),
        ("peak", shown, "bad" if over else ""),
        ("planned", gib(planned or None), ""),
    ]


def _against(value: int | None, planned: int) -> str:
    return f"{gib(value)} {share(value, planned):>4}" if planned and value is not None else gib(value)


def _busy(last: dict[str, Any]) -> str:
    """How busy the device is, and what that takes: `97% 412W 61°C`."""
    units = (("utilisation", "%"), ("power_watts", "W"), ("temperature", "°C"))
    words = [f"{last[key]:.0f}{unit}" for key, unit in units if isinstance(last.get(key), int | float)]
    return " ".join(words) or UNKNOWN


def _cost(price: float | None, seconds: float | None, left: float | None, *, ended: bool) -> str:
    """What was spent, and of a run at work what it will come to."""
    spent = cost(price, seconds)
    if spent is None or seconds is None or ended or left is None or left < 0:
        return dollars(spent)
    return f"{dollars(spent)} of {dollars(cost(price, seconds + left))}"


def _broken(value: float | None) -> bool:
    return value is not None and not math.isfinite(value)
