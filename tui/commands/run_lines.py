"""Runs and their events as plain lines, for a terminal and for a pipe."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.runs.compare import Comparison
    from core.runs.state import RunState


def line_of(event: dict[str, Any]) -> str:
    """One event in one line; empty for events that need none."""
    kind = event["kind"]
    if kind == "step":
        return (
            f"step {event['step']}/{event['steps']}  loss {number(event['loss'])}  "
            f"lr {event.get('learning_rate') or 0:.2e}  grad {number(event.get('grad_norm'), 3)}  "
            f"{event.get('tokens_per_second') or 0:,.0f} tok/s  {duration(event.get('eta_seconds'))} left"
        )
    if kind == "eval":
        return f"eval at step {event['step']}  loss {number(event['eval_loss'])}"
    if kind == "checkpoint":
        return f"checkpoint at step {event['step']}: {event['path']} ({gib(event['bytes'])})"
    if kind == "warning":
        return f"warning: {event['what']}"
    if kind == "error":
        return f"error: {event['what']}" + (f"\n  {event['fix']}" if event.get("fix") else "")
    if kind == "environment":
        share = 100 * event["trainable"] / max(event["total"], 1)
        return f"on {event['device']}: trains {event['trainable']:,} of {event['total']:,} parameters ({share:.2f} %)"
    if kind == "status":
        return " ".join(word for word in (event["state"], event.get("note", "")) if word)
    if kind == "sample":
        return f"sample at step {event['step']}: {event['answer']}"
    if kind == "end":
        return f"{event['state'].replace('_', ' ')} after {duration(event.get('seconds'))}"
    return ""


def sentence(state: RunState) -> str:
    """How a run stands, in one or a few lines."""
    parts = [f"{state.id}: {word_of(state)}"]
    if state.steps:
        parts.append(f"step {state.step}/{state.steps}")
    if state.loss is not None:
        parts.append(f"loss {number(state.loss)}")
    if state.eval_loss is not None:
        parts.append(f"eval {number(state.eval_loss)}")
    lines = [", ".join(parts)]
    lines += [f"  {text}" for text in (state.what, state.fix) if text]
    return "\n".join(lines)


def word_of(state: RunState) -> str:
    """The state in one word for a person; a run that was killed was stopped by that, a prepared one never started."""
    told = state.phase in ("killed", "prepared") and state.ended
    return state.phase if told else state.state.replace("_", " ")


def table(states: Iterable[RunState]) -> list[str]:
    """All runs as aligned columns."""
    rows = [("RUN", "STATE", "STEP", "LOSS", "EVAL", "TOK/S", "AGE", "MODEL", "METHOD", "NOTE")]
    for state in states:
        rows.append(
            (
                state.id,
                word_of(state),
                f"{state.step}/{state.steps or '?'}",
                number(state.loss),
                number(state.eval_loss),
                f"{state.tokens_per_second:,.0f}" if state.tokens_per_second else "-",
                duration(time.time() - state.started) if state.started else "-",
                state.model.rpartition("/")[2] or "-",
                state.method or "-",
                state.note,
            )
        )
    return aligned(rows)


def comparison(result: Comparison) -> list[str]:
    """Runs side by side: one column per run, one line per figure and per differing recipe key."""
    header = ("", *(state.id for state in result.states))
    figures = [
        ("state", *(word_of(state) for state in result.states)),
        ("steps", *(str(state.step) for state in result.states)),
        ("loss", *(number(state.loss) for state in result.states)),
        ("best eval loss", *(number(state.best_eval_loss) for state in result.states)),
        ("tokens/s", *(f"{state.tokens_per_second or 0:,.0f}" for state in result.states)),
        ("peak allocated", *(gib(state.peak_allocated_bytes) for state in result.states)),
        ("time", *(duration(state.seconds) for state in result.states)),
    ]
    keys = [(key, *(_written(value) for value in values)) for key, values in result.differences.items()]
    return aligned([header, *figures, *keys])


def _written(value: object) -> str:
    """A value of a recipe as a recipe writes it; a dash where it says nothing."""
    if value is None or value in ("", [], {}):
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def gib(count: int | None) -> str:
    if count is None:
        return "-"
    return f"{count / 2**30:.2f} GiB" if count >= 2**28 else f"{count / 2**20:.1f} MiB"


def duration(seconds: float | None) -> str:
    """Seconds as a person says them: 42 s, 5 min 07 s, 3 h 10 min, 2 d 4 h."""
    if seconds is None:
        return "-"
    whole = max(int(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    minutes, hours, days = whole // 60 % 60, whole // 3600 % 24, whole // 86400
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if whole >= 3600 else f"{minutes} min {whole % 60:02} s"
