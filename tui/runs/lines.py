"""What the Runs panel says of a run: its row, its details, and what filters look at."""

from __future__ import annotations

import time
from collections.abc import Sequence

from core.runs.cost import cost
from core.runs.state import RunState
from tui.widgets.marks import mark, style
from tui.widgets.numbers import UNKNOWN, count, dollars, duration, figure, gib
from tui.widgets.rows import Column, Row
from tui.widgets.text import visible

_STATE, _RUN, _STEP = Column("state", 15), Column("run", 0), Column("step", 9, right=True)
_LOSS, _BEST, _AGE = (
    Column("loss", 7, right=True),
    Column("best", 7, right=True),
    Column("age", 7, right=True),
)
_MEASURED = (Column("tok/s", 6, right=True), Column("peak", 8, right=True), Column("cost", 7, right=True))
_RECIPE = (Column("model", 22), Column("data", 22), Column("method", 7))
_METHOD = Column("method", 7)

# By the width class of the screen: what does not fit is in the two lines on the run under the cursor.
COLUMNS: dict[str, tuple[Column, ...]] = {
    "-narrow": (_STATE, _RUN, _STEP, _LOSS, _BEST, _AGE),
    "-wide": (_STATE, _RUN, _METHOD, _STEP, _LOSS, _BEST, *_MEASURED, _AGE),
    "-widest": (_STATE, _RUN, *_RECIPE, _STEP, _LOSS, _BEST, *_MEASURED, _AGE, Column("note", 30)),
}


def row_of(
    state: RunState,
    columns: Sequence[Column],
    *,
    marked: str = "",
    place: int = 0,
    price_per_hour: float | None = None,
    now: float | None = None,
) -> Row:
    """One line of the table. `marked` is the letter of its curve, `place` its number in the queue."""
    best = state.best_eval_loss if state.best_eval_loss is not None else state.eval_loss
    note = with_tags(state)
    apart = any(column.title == "note" for column in columns)
    cells = {
        "state": state_word(state, place),
        "run": visible(state.id) + (f"  {note}" if note and not apart else ""),
        "model": visible(state.model.rpartition("/")[2]),
        "data": visible(state.data),
        "method": visible(state.method),
        "step": f"{state.step}/{state.steps}" if state.steps else str(state.step),
        "loss": figure(state.loss),
        "best": figure(best),
        "tok/s": count(state.tokens_per_second),
        "peak": gib(state.peak_allocated_bytes),
        "cost": dollars(cost(price_per_hour, state.seconds)),
        "age": duration((now or time.time()) - state.started) if state.started else UNKNOWN,
        "note": note,
    }
    return Row(
        str(state.folder), tuple(cells[column.title] for column in columns), style(state.state), marked
    )


def state_word(state: RunState, place: int = 0) -> str:
    """`● running`; of a run that waits for its turn `… queued 2`."""
    if state.phase == "queued" and not state.ended:
        return f"{mark('queued')} {place}" if place else mark("queued")
    return mark(state.phase if state.ended and state.phase in ("killed", "prepared") else state.state)


def with_tags(state: RunState) -> str:
    """The note, then the tags: `good answers #keep`."""
    return visible(" ".join([*([state.note] if state.note else []), *(f"#{tag}" for tag in state.tags)]))


def matches(state: RunState, wanted: str) -> bool:
    """Whether every word of the filter occurs somewhere in what is known of the run."""
    text = " ".join(
        (state.id, state.state, state.phase, state.model, state.method, state.data, with_tags(state))
    ).lower()
    return all(word in text for word in wanted.lower().split())


def details(state: RunState) -> str:
    """One line on the run under the cursor: why it ended, else what it is made of."""
    if state.what:
        return visible(f"{state.what}; {state.fix}" if state.fix else state.what)
    saved = f", saved at step {state.checkpoint_step}" if state.checkpoint_step is not None else ""
    took = f", {duration(state.seconds)}" if state.seconds else ""
    return visible(f"{state.model} · {state.method} · {state.data}{saved}{took}")
