"""A curve in Braille dots: fixed size, drawn line by line, only cells that changed are sent.

Over a run whose length is known the step axis stays, so that a new point costs a few bytes. The value
axis is rounded to steps of 1, 2 and 5 and moves only when a value leaves it. Points are the raw values, the
line is the smoothed one, ◆ marks evaluations.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tui.widgets.numbers import count, figure
from tui.widgets.text import cut

AXIS_CELLS = 9
# Bits of the Braille block, by row and column inside a cell (Unicode 2800 onwards).
_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))

Cell = tuple[str, str]  # character, style class
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Plotted:
    """What to draw. `length` is the last step of the axis; 0 takes the last point's.

    Only steps from `first` to `last` are drawn; 0 as `last` means all of them.

    `named` are further lines, each with the letter that stands at its end.
    """

    title: str = ""
    points: Points = ()
    line: Points = ()
    marks: Points = ()
    length: float = 0
    log_scale: bool = False
    first: float = 0
    cursor: float | None = None
    named: tuple[tuple[str, Points], ...] = ()
    last: float = 0

    @property
    def all_points(self) -> list[tuple[float, float]]:
        more = [point for _, points in self.named for point in points]
        return [*self.points, *self.line, *self.marks, *more]


class CurveView(Widget):
    """`plot(Plotted(...))` draws it anew and sends the difference."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "axis", "points", "line", "mark", "cursor", "title", "named0", "named1", "named2", "named3",
    }  # fmt: skip

    DEFAULT_CSS = """
    CurveView { width: 1fr; height: 10; }
    CurveView .axis { color: $foreground 60%; }
    CurveView .points { color: $secondary; }
    CurveView .line { color: $accent; text-style: bold; }
    CurveView .mark { color: $success; text-style: bold; }
    CurveView .cursor { color: $foreground 60%; }
    CurveView .named0 { color: $accent; text-style: bold; }
    CurveView .named1 { color: $primary; text-style: bold; }
    CurveView .named2 { color: $success; text-style: bold; }
    CurveView .named3 { color: $error; text-style: bold; }
    CurveView .title { color: $foreground; text-style: bold; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.plotted = Plotted()
        self._range: tuple[float, float] | None = None
        self._rows: list[list[Cell]] = []

    def plot(self, plotted: Plotted) -> None:
        """Show this instead; only what differs is repainted."""
        if (plotted.title, plotted.log_scale) != (self.plotted.title, self.plotted.log_scale):
            self._range = None
        self.plotted = plotted
        width, height = self.size
        if not width or not height:
            return
        old, self._rows = self._rows, self._draw(width, height)
        if len(old) != len(self._rows) or (old and len(old[0]) != width):
            self.refresh()
            return
        for y, (before, after) in enumerate(zip(old, self._rows, strict=True)):
            changed = [x for x, (one, other) in enumerate(zip(before, after, strict=True)) if one != other]
            if changed:
                self.refresh(Region(changed[0], y, changed[-1] - changed[0] + 1, 1))

    def on_resize(self) -> None:
        self.plot(self.plotted)

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        segments: list[Segment] = []
        text, style = "", ""
        for character, name in self._rows[y]:
            if name != style and text:
                segments.append(self._segment(text, style))
                text = ""
            text, style = text + character, name
        segments.append(self._segment(text, style))
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def _segment(self, text: str, name: str) -> Segment:
        return Segment(text, self.get_component_rich_style(name) if name else self.rich_style)

    # Drawing into cells

    def _draw(self, width: int, height: int) -> list[list[Cell]]:
        rows: list[list[Cell]] = [[(" ", "")] * width for _ in range(height)]
        shown = self._in_view()
        _write(rows[0], AXIS_CELLS, cut(shown.title, width - AXIS_CELLS), "title")
        plot_rows = height - 2
        if plot_rows < 1 or width <= AXIS_CELLS + 2:
            return rows
        values = [value for _, value in shown.all_points if self._drawable(value)]
        if not values:
            _write(rows[height // 2], AXIS_CELLS, "no values yet", "axis")
            return rows
        low, high = self._fit_range(values)
        first, last = shown.first, max(shown.length, max(step for step, _ in shown.all_points))
        grid = _Grid(
            width - AXIS_CELLS, plot_rows, (first, max(last, first + 1)), (self._y(low), self._y(high))
        )
        self._axes(rows, low, high, first, last)
        dots = [(step, self._y(value)) for step, value in shown.points if self._drawable(value)]
        line = [(step, self._y(value)) for step, value in shown.line if self._drawable(value)]
        for x, y, character in grid.dots(dots):
            rows[y + 1][x + AXIS_CELLS] = (character, "points")
        for x, y, character in grid.line(line):
            rows[y + 1][x + AXIS_CELLS] = (character, "line")
        for number, (letter, points) in enumerate(shown.named):
            style = f"named{number % 4}"
            placed = [(step, self._y(value)) for step, value in points if self._drawable(value)]
            for x, y, character in grid.line(placed):
                rows[y + 1][x + AXIS_CELLS] = (character, style)
            if placed:
                x, y = grid.cell(*placed[-1])
                rows[y + 1][x + AXIS_CELLS] = (letter, style)
        for step, value in shown.marks:
            if self._drawable(value):
                x, y = grid.cell(step, self._y(value))
                rows[y + 1][x + AXIS_CELLS] = ("◆", "mark")
        if shown.cursor is not None:
            x, _ = grid.cell(shown.cursor, grid.low)
            for y in range(plot_rows):
                if rows[y + 1][x + AXIS_CELLS][0] == " ":
                    rows[y + 1][x + AXIS_CELLS] = ("│", "cursor")
        return rows

    def _in_view(self) -> Plotted:
        shown = self.plotted
        if not shown.first and not shown.last:
            return shown
        last = shown.last or math.inf
        points, line, marks = (
            [point for point in some if shown.first <= point[0] <= last]
            for some in (shown.points, shown.line, shown.marks)
        )
        return replace(shown, points=points, line=line, marks=marks)

    def _drawable(self, value: float) -> bool:
        return math.isfinite(value) and (value > 0 or not self.plotted.log_scale)

    def _y(self, value: float) -> float:
        return math.log10(value) if self.plotted.log_scale else value

    def _fit_range(self, values: Sequence[float]) -> tuple[float, float]:
        """The axis as it is if all values lie on it and fill a third; else the next round one."""
        low, high = min(values), max(values)
        old = self._range
        fits = old is not None and old[0] <= low and high <= old[1]
        if old is None or not fits or (high - low) < (old[1] - old[0]) / 3:
            self._range = round_range(low, high, log_scale=self.plotted.log_scale)
        assert self._range is not None
        return self._range

    def _axes(self, rows: list[list[Cell]], low: float, high: float, first: float, last: float) -> None:
        height, width = len(rows), len(rows[0])
        middle = 10 ** ((self._y(low) + self._y(high)) / 2) if self.plotted.log_scale else (low + high) / 2
        plot_rows = height - 2
        for y, value in ((1, high), (1 + (plot_rows - 1) // 2, middle), (plot_rows, low)):
            _write(rows[y], 0, _axis_value(value).rjust(AXIS_CELLS - 2), "axis")
        for y in range(1, plot_rows + 1):
            rows[y][AXIS_CELLS - 1] = ("┤" if rows[y][0][1] else "│", "axis")
        left, right = f"{first:.0f}", f"{last:.0f}"
        _write(rows[-1], AXIS_CELLS, left, "axis")
        _write(
            rows[-1], max(width - len(right) - 5, AXIS_CELLS), f"step {right}"[-(len(right) + 5) :], "axis"
        )


def _axis_value(value: float) -> str:
    return count(value) if 1000 <= abs(value) < 1e12 else figure(value, 3)


def round_range(low: float, high: float, *, log_scale: bool = False) -> tuple[float, float]:
    """A range with round ends around two values; never empty."""
    if log_scale:
        return 10 ** math.floor(math.log10(low)), 10 ** (math.floor(math.log10(high)) + 1)
    span = high - low or abs(high) * 0.1 or 1.0
    raw = span / 4
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw)
    bottom, top = math.floor(low / step) * step, math.ceil(high / step) * step
    return (bottom, top) if top > bottom else (bottom - step, top + step)


class _Grid:
    """Maps values to Braille dots: two across and four down in every cell."""

    def __init__(self, columns: int, rows: int, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.columns, self.rows = columns, rows
        self.left, self.right = x
        self.low, self.high = y

    def dot(self, x: float, y: float) -> tuple[int, int]:
        across = (x - self.left) / (self.right - self.left)
        up = (y - self.low) / (self.high - self.low)
        wide, tall = 2 * self.columns - 1, 4 * self.rows - 1
        return min(max(round(across * wide), 0), wide), min(max(round((1 - up) * tall), 0), tall)

    def cell(self, x: float, y: float) -> tuple[int, int]:
        across, down = self.dot(x, y)
        return across // 2, down // 4

    def dots(self, points: Points) -> Iterable[tuple[int, int, str]]:
        return _cells(self.dot(x, y) for x, y in points)

    def line(self, points: Points) -> Iterable[tuple[int, int, str]]:
        """The points joined, each column once, with the mean of what falls into it."""
        columns: dict[int, list[int]] = {}
        for x, y in points:
            across, down = self.dot(x, y)
            columns.setdefault(across, []).append(down)
        joined: list[tuple[int, int]] = []
        for across, downs in sorted(columns.items()):
            down = round(sum(downs) / len(downs))
            if joined:
                joined += _between(joined[-1], (across, down))
            joined.append((across, down))
        return _cells(joined)


def _between(start: tuple[int, int], end: tuple[int, int]) -> Iterable[tuple[int, int]]:
    (x0, y0), (x1, y1) = start, end
    steps = max(abs(x1 - x0), abs(y1 - y0))
    for number in range(1, steps):
        yield round(x0 + (x1 - x0) * number / steps), round(y0 + (y1 - y0) * number / steps)


def _cells(dots: Iterable[tuple[int, int]]) -> Iterable[tuple[int, int, str]]:
    bits: dict[tuple[int, int], int] = {}
    for across, down in dots:
        key = (across // 2, down // 4)
        bits[key] = bits.get(key, 0) | _BITS[down % 4][across % 2]
    return [(x, y, chr(0x2800 + value)) for (x, y), value in bits.items()]


def _write(row: list[Cell], start: int, text: str, style: str) -> None:
    for number, character in enumerate(text):
        if 0 <= start + number < len(row):
            row[start + number] = (character, style)
