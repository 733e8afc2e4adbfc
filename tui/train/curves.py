"""The curves of one run: one large, with zoom, logarithmic axis and cursor; the others beside it on a wide screen."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Container, Vertical

from core.runs.record import Record
from tui.widgets.curve import CurveView, Plotted
from tui.widgets.numbers import figure

METRICS = {
    "loss": "loss",
    "learning_rate": "learning rate",
    "grad_norm": "gradient norm",
    "tokens_per_second": "tokens/s",
}
MOST_POINTS = 2000
DEEPEST_ZOOM = 1024.0


class CurveBoard(Container):
    """`draw(record)` shows it; the other methods are what the keys do."""

    DEFAULT_CSS = """
    CurveBoard { layout: horizontal; width: 100%; height: 9; }
    CurveBoard CurveView { width: 1fr; height: 100%; }
    CurveBoard #others { display: none; width: 48; height: 100%; }
    CurveBoard #others CurveView { width: 100%; height: 1fr; }
    .-widest CurveBoard #others { display: block; }
    """
    SCOPED_CSS = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.record = Record()
        self.metric = "loss"
        self.log_scale = False
        self.zoom = 1.0
        self.cursor: float | None = None

    def compose(self) -> ComposeResult:
        yield CurveView(id="curve")
        with Vertical(id="others"):
            for name in METRICS:
                if name != "loss":
                    yield CurveView(id=name)

    def start(self, record: Record) -> None:
        """Another run: all of it, and no cursor."""
        self.record, self.zoom, self.cursor = record, 1.0, None

    def draw(self) -> None:
        self.query_one("#curve", CurveView).plot(self._large())
        if self.screen.has_class("-widest"):
            for name in METRICS:
                if name != "loss":
                    self.query_one(f"#{name}", CurveView).plot(plotted(self.record, name))

    def next_metric(self) -> None:
        names = list(METRICS)
        self.metric = names[(names.index(self.metric) + 1) % len(names)]
        self.draw()

    def switch_log_scale(self) -> None:
        self.log_scale = not self.log_scale
        self.draw()

    def zoom_by(self, factor: float) -> None:
        """Around the cursor if there is one, else on the newest steps."""
        self.zoom = min(max(self.zoom * factor, 1.0), DEEPEST_ZOOM)
        self.draw()

    def move_cursor(self, points: int) -> None:
        self.cursor = neighbour(self.record.curves[self.metric].steps, self.cursor, points)
        self.draw()

    def no_cursor(self) -> None:
        self.cursor = None
        self.draw()

    def _large(self) -> Plotted:
        first, last = window(max(self.record.step, 1), self.zoom, self.cursor)
        return plotted(
            self.record, self.metric, log_scale=self.log_scale, first=first, last=last, cursor=self.cursor
        )


def window(newest: float, zoom: float, cursor: float | None) -> tuple[float, float]:
    """First and last step in view; (0, 0) is the whole run."""
    if zoom <= 1:
        return 0.0, 0.0
    width = newest / zoom
    if cursor is None:
        return newest - width, 0.0
    first = min(max(cursor - width / 2, 0.0), newest - width)
    return first, first + width


def plotted(
    record: Record,
    metric: str,
    *,
    log_scale: bool = False,
    first: float = 0.0,
    last: float = 0.0,
    cursor: float | None = None,
) -> Plotted:
    """The curve of one metric; the loss with its smoothed line and the evaluations."""
    curve, name = record.curves[metric], METRICS[metric]
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
        title = at_cursor(record, metric, cursor)
    return Plotted(
        title, points, line, marks, last or float(record.steps), log_scale, first, cursor, last=last
    )


def at_cursor(record: Record, metric: str, step: float) -> str:
    """The values at a step: those of the curve in view in full, the others where there is room."""
    curve = record.curves[metric]
    words = [f"{METRICS[metric]} {figure(value_at(curve.steps, curve.values, step))}"]
    if metric == "loss":
        words.append(f"smoothed {figure(value_at(curve.steps, curve.smoothed, step))}")
    evals = record.curves["eval_loss"]
    for name, short in (("loss", "loss"), ("learning_rate", "rate"), ("grad_norm", "grad")):
        if name != metric:
            other = record.curves[name]
            words.append(f"{short} {figure(value_at(other.steps, other.values, step), 3)}")
    if evals.steps:
        words.insert(2, f"eval {figure(value_at(evals.steps, evals.values, step))}")
    return f"step {step:.0f}: {', '.join(words)}"


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
