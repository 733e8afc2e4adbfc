"""What the Train panel says of a run: words and figures from its record and state. No widgets here."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from core.recipe import Recipe
from core.runs.record import Record
from core.runs.state import RunState
from tui.widgets.bars import Part
from tui.widgets.curve import Plotted
from tui.widgets.marks import mark, style
from tui.widgets.numbers import UNKNOWN, count, duration, figure, gib, share
from tui.widgets.text import cut, visible

Figure = tuple[str, str, str]
METRICS = {
    "loss": "loss",
    "learning_rate": "learning rate",
    "grad_norm": "gradient norm",
    "tokens_per_second": "tokens/s",
}
BAR_CELLS = 20
MOST_POINTS = 2000


def summary(recipe: Recipe) -> str:
    """What is about to be started, in one question."""
    amount = (
        f"{recipe.training.max_steps} steps"
        if recipe.training.max_steps
        else f"{recipe.training.epochs:g} epochs"
    )
    return (
        f"Start a run? {visible(recipe.model.source)} on {visible(recipe.data.source)}\n"
        f"{recipe.tuner.method}, {amount}, batch {recipe.effective_batch}, rate {figure(recipe.learning_rate, 3)}"
    )


def headline(state: RunState, record: Record) -> list[Part]:
    """One line: how the run stands, and how far it is."""
    step, steps = record.step or state.step, record.steps or state.steps or 0
    word = mark(state.state)
    if state.state == "starting" and record.status not in ("", "starting"):
        word = f"{word}: {record.status}"
    parts = [Part(f" {word} ", style(state.state)), Part(f" {cut(visible(state.id), 32)} ", "name")]
    if steps:
        parts.append(Part(f" step {step}/{steps} {share(step, steps):>4} "))
        if state.state == "running" and record.last.get("eta_seconds") is not None:
            parts.append(Part(f" {duration(record.last['eta_seconds'])} left "))
        parts.append(Part(f" {progress(step / steps)}", "key" if state.state == "running" else "muted"))
    return parts


def progress(part: float, cells: int = BAR_CELLS) -> str:
    """A bar of that many cells; a run past its last step stays full."""
    filled = round(min(max(part, 0.0), 1.0) * cells)
    return "━" * filled + "╌" * (cells - filled)


def figures(state: RunState, record: Record) -> list[Figure]:
    """The named values beside the curve."""
    last, loss = record.last, record.curves["loss"]
    evaluation = record.curves["eval_loss"].last
    smoothed = loss.smoothed[-1] if loss.smoothed else None
    allocated, peak = (
        last.get("allocated_bytes"),
        last.get("peak_allocated_bytes") or state.peak_allocated_bytes,
    )
    planned = record.planned_peak_bytes or state.planned_peak_bytes or 0
    rows: list[Figure] = [
        ("loss", figure(loss.last), "bad" if _broken(loss.last) else ""),
        ("smoothed", figure(smoothed), ""),
        ("eval", figure(evaluation), ""),
        ("rate", figure(last.get("learning_rate"), 3), ""),
        ("grad", figure(last.get("grad_norm"), 3), ""),
        ("tokens/s", count(last.get("tokens_per_second")), ""),
        ("epoch", figure(last.get("epoch"), 3), ""),
        ("tokens", count(last.get("tokens")), ""),
    ]
    if allocated is not None or peak is not None:
        rows.append(("memory", gib(allocated), ""))
        over = bool(planned and peak and peak > planned)
        rows.append(("peak", f"{gib(peak)}{' > plan!' if over else ''}", "bad" if over else ""))
    else:
        rows.append(("host peak", gib(last.get("peak_rss_bytes") or state.peak_rss_bytes), ""))
    if planned:
        rows.append(("planned", gib(planned), ""))
    saved = record.checkpoints[-1].get("step") if record.checkpoints else state.checkpoint_step
    rows.append(("saved", f"step {saved}" if saved is not None else UNKNOWN, ""))
    rows.append(("time", duration(state.seconds), ""))
    return rows


def newest_note(state: RunState, record: Record) -> Part:
    """The one line that matters now: why it ended, else the newest warning."""
    if state.what:
        fix = f"; {state.fix}" if state.fix else ""
        return Part(f" {visible(state.what)}{visible(fix)}", style(state.state))
    for event in reversed(record.notes):
        if event["kind"] == "error":
            return Part(f" ✗ {visible(str(event.get('what', '')))}", "bad")
        if event["kind"] == "warning":
            return Part(f" ! {visible(str(event.get('what', '')))}", "key")
        if event["kind"] == "control" and event.get("done"):
            return Part(f" ✓ {visible(str(event.get('request', '')))}: done", "good")
    return Part("")


def plotted(record: Record, metric: str, *, log_scale: bool, first: float, cursor: float | None) -> Plotted:
    """The curve of one metric; the loss with its smoothed line and the evaluations."""
    curve = record.curves[metric]
    name = METRICS[metric]
    if metric == "loss":
        points, line = thinned(curve.steps, curve.values), thinned(curve.steps, curve.smoothed)
        evals = record.curves["eval_loss"]
        marks = list(zip(evals.steps, evals.values, strict=True))
        title = f"{name}: · each step  ━ smoothed" + ("  ◆ eval" if marks else "")
    else:
        points, line, marks, title = [], thinned(curve.steps, curve.values), [], name
    if log_scale:
        title += "  (log)"
    if cursor is not None:
        title = f"step {cursor:.0f}: {name} {figure(value_at(curve.steps, curve.values, cursor))}"
    return Plotted(title, points, line, marks, float(record.steps), log_scale, first, cursor)


def thinned(steps: Sequence[float], values: Sequence[float]) -> list[tuple[float, float]]:
    """The points, or of very many the lowest and the highest of each stretch: no spike is lost."""
    size = len(values)
    if size <= MOST_POINTS:
        return list(zip(steps, values, strict=True))
    stretch = -(-2 * size // MOST_POINTS)
    points = []
    for start in range(0, size, stretch):
        part = values[start : start + stretch]
        points += [(steps[start], min(part)), (steps[start], max(part))]
    return points


def value_at(steps: Sequence[float], values: Sequence[float], step: float) -> float | None:
    """The value of the newest point at or before a step."""
    index = bisect_right(steps, step)
    return values[index - 1] if index else None


def neighbour(steps: Sequence[float], at: float | None, move: int) -> float | None:
    """The step `move` points away from `at`, for the cursor; it starts at the newest point."""
    if not steps:
        return None
    if at is None:
        return steps[-1]
    return steps[min(max(bisect_left(steps, at) + move, 0), len(steps) - 1)]


def _broken(value: float | None) -> bool:
    return value is not None and not math.isfinite(value)
