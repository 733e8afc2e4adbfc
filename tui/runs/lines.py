"""What the Runs panel says of a run: its row, its details, and what filters look at."""

from __future__ import annotations

import time

from core.runs.compare import Comparison
from core.runs.state import RunState
from tui.widgets.marks import mark, style
from tui.widgets.numbers import UNKNOWN, count, duration, figure, gib
from tui.widgets.rows import Column, Row
from tui.widgets.text import visible

NARROW = (
    Column("state", 15),
    Column("run", 0),
    Column("step", 9, right=True),
    Column("loss", 7, right=True),
    Column("eval", 7, right=True),
    Column("age", 8, right=True),
)
WIDE = (
    Column("state", 15),
    Column("run", 0),
    Column("method", 7),
    Column("data", 14),
    Column("step", 11, right=True),
    Column("loss", 7, right=True),
    Column("best", 7, right=True),
    Column("tok/s", 6, right=True),
    Column("peak", 8, right=True),
    Column("age", 8, right=True),
)


def row_of(state: RunState, *, wide: bool, marked: bool, now: float | None = None) -> Row:
    """One line of the table."""
    age = duration((now or time.time()) - state.started) if state.started else UNKNOWN
    steps = f"{state.step}/{state.steps}" if state.steps else str(state.step)
    name = visible(state.id) + (f"  {visible(state.note)}" if state.note else "")
    best = state.best_eval_loss if state.best_eval_loss is not None else state.eval_loss
    cells: tuple[str, ...]
    if wide:
        cells = (
            mark(state.state), name, state.method, visible(state.data), steps, figure(state.loss), figure(best),
            count(state.tokens_per_second), gib(state.peak_allocated_bytes), age,
        )  # fmt: skip
    else:
        cells = (mark(state.state), name, steps, figure(state.loss), figure(state.eval_loss), age)
    return Row(str(state.folder), cells, style(state.state), "✓" if marked else "")


def matches(state: RunState, wanted: str) -> bool:
    """Whether every word of the filter occurs somewhere in what is known of the run."""
    text = " ".join(
        (state.id, state.state, state.model, state.method, state.data, state.note, *state.tags)
    ).lower()
    return all(word in text for word in wanted.lower().split())


def details(state: RunState) -> str:
    """One line on the run under the cursor."""
    if state.what:
        return visible(f"{state.what}; {state.fix}" if state.fix else state.what)
    saved = f", saved at step {state.checkpoint_step}" if state.checkpoint_step is not None else ""
    took = f", {duration(state.seconds)}" if state.seconds else ""
    return visible(f"{state.model} · {state.method} · {state.data}{saved}{took}")


def comparison_text(comparison: Comparison) -> str:
    """Figures and the keys in which the recipes differ, run by run."""
    letters = "abcdefgh"
    lines = []
    for letter, state in zip(letters, comparison.states, strict=False):
        lines.append(
            f"{letter}  {visible(state.id)}: {mark(state.state)}, loss {figure(state.loss)}, "
            f"eval {figure(state.eval_loss)}, {count(state.tokens_per_second)} tok/s"
        )
    lines.append("")
    for key, values in comparison.differences.items():
        shown = "   ".join(
            f"{letter} {visible(str(value))}" for letter, value in zip(letters, values, strict=False)
        )
        lines.append(f"{key:<28} {shown}")
    return "\n".join(lines if comparison.differences else [*lines, "the recipes are equal"])
