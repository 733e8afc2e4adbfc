"""The statistics tab: totals, a histogram of row lengths with a line that can be moved, and what that line costs."""

from __future__ import annotations

from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.message import Message

from core.data.check import CheckReport
from core.data.statistics import Cut, cut_at, histogram, summary
from core.recipe import Recipe
from tui.widgets.text_view import Line, TextView

_BARS = " ▏▎▍▌▋▊▉█"
_MOST_BARS = 12
_OTHER_LINES = 13  # what the tab says besides the bars, at 80 columns
_SHOWN_WHEN_NARROW = ("shortest", "p50", "p95", "p99", "longest")


class FiguresView(TextView):
    """`open(report, recipe)` shows it; left and right move the line, enter takes it as data.max_length."""

    HELP = """
    The bars count rows by tokens before any cut. Left and right move max_length; what it would cost is told
    below. Enter writes it into the recipe.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "shift(-1)", "shorter", show=False),
        Binding("right", "shift(1)", "longer", show=False),
        Binding("enter", "take", "use this max_length"),
    ]

    class Chosen(Message):
        """A maximum length was taken."""

        def __init__(self, max_length: int) -> None:
            super().__init__()
            self.max_length = max_length

    class Counted(Message, bubble=False):
        """What a line costs has been counted."""

        def __init__(self, cut: Cut) -> None:
            super().__init__()
            self.cut = cut

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.report: CheckReport | None = None
        self.recipe: Recipe | None = None
        self.max_length = 0
        self.cut: Cut | None = None

    def open(self, report: CheckReport, recipe: Recipe) -> None:
        self.report, self.recipe, self.max_length, self.cut = report, recipe, recipe.data.max_length, None
        self._count()

    @property
    def _bars(self) -> int:
        return min(max(self.size.height - _OTHER_LINES, 4), _MOST_BARS)

    def on_resize(self) -> None:
        self._draw()

    def action_shift(self, steps: int) -> None:
        if self.report is None:
            return
        _, edges = histogram(self.report.lengths, self._bars)
        width = int(edges[1] - edges[0])
        longest = max(int(self.report.lengths.tokens.max(initial=1)), 1)
        start = min(self.max_length, -(-longest // width) * width)
        self.max_length = max(width, (start // width + steps) * width)
        self._count()

    def action_take(self) -> None:
        if self.report is not None:
            self.post_message(self.Chosen(self.max_length))

    def _count(self) -> None:
        """Draw at once with what is known; the packing is counted in a thread."""
        self._draw()
        self._count_in_thread(self.max_length)

    @work(thread=True, exclusive=True, exit_on_error=False)
    def _count_in_thread(self, max_length: int) -> None:
        if self.report is not None and self.recipe is not None:
            self.post_message(
                self.Counted(cut_at(self.report.lengths, max_length, seed=self.recipe.training.seed))
            )

    def on_figures_view_counted(self, message: Counted) -> None:
        if message.cut.max_length == self.max_length:
            self.cut = message.cut
            self._draw()

    def _draw(self) -> None:
        if self.report is None or self.recipe is None:
            return
        cut = self.cut if self.cut is not None and self.cut.max_length == self.max_length else None
        self.show(
            figure_lines(
                self.report, self.recipe, self.max_length, cut, max(self.size.width, 60), self._bars
            ),
            keep_place=True,
        )


def figure_lines(
    report: CheckReport, recipe: Recipe, max_length: int, cut: Cut | None, width: int, bars: int
) -> list[Line]:
    """The tab as lines."""
    figures = summary(report.lengths)
    if not figures.examples:
        return [("no row has tokens; see the findings", "muted")]
    roles = "  ".join(
        f"{name} {count / figures.tokens:.0%}"
        for name, count in sorted(figures.by_role.items(), key=lambda item: -item[1])
    )
    lines: list[Line] = [
        (
            f"{report.rows:,} rows, {report.examples:,} to train on, {report.eval_examples:,} held out",
            "heading",
        ),
        (
            f"{figures.tokens:,} tokens before the cut, {figures.trained_tokens:,} trained ({figures.trained_share:.0%})   {roles}",
            "",
        ),
        (
            "tokens per row   "
            + "  ".join(
                f"{name} {value:,}"
                for name, value in figures.quantiles.items()
                if width >= 110 or name in _SHOWN_WHEN_NARROW
            ),
            "",
        ),
        ("", ""),
        *_bars(report, max_length, width, bars),
        ("", ""),
    ]
    return lines + _costs(report, recipe, max_length, cut)


def _bars(report: CheckReport, max_length: int, width: int, bars: int) -> list[Line]:
    counts, edges = histogram(report.lengths, bars)
    most = max(int(counts.max()), 1)
    room = max(width - 32, 10)
    lines: list[Line] = []
    marked = False
    for count, first, after in zip(counts.tolist(), edges.tolist(), edges[1:].tolist(), strict=False):
        here = not marked and max_length < after
        marked = marked or here
        mark = "◀ max_length" if here else ""
        beyond = first > max_length
        lines.append(
            (
                f"{first:>7,} {_bar(count / most, room)} {count:,} {mark}",
                "muted" if beyond else "warn" if here else "",
            )
        )
    return lines


def _bar(share: float, cells: int) -> str:
    eighths = round(share * cells * 8)
    eighths = max(eighths, 1) if share else 0
    full, rest = divmod(eighths, 8)
    return "█" * full + (_BARS[rest] if rest else "")


def _costs(report: CheckReport, recipe: Recipe, max_length: int, cut: Cut | None) -> list[Line]:
    if cut is None:
        return [(f"max_length {max_length:,}   counting …", "heading")]
    taken = (
        ""
        if max_length == recipe.data.max_length
        else f"   (the recipe says {recipe.data.max_length:,}; enter takes this)"
    )
    packing = recipe.data.packing
    sequences = report.sequences(packing, cut)
    waste = "  ".join(f"{size}: {share:.0%}" for size, share in cut.padding_waste.items())
    fill = "  ".join(f"{name} {share:.0%} of {cut.packs[name]:,}" for name, share in cut.packing_fill.items())
    steps = recipe.steps(sequences)
    return [
        (f"max_length {max_length:,}{taken}", "heading"),
        (
            f"{cut.rows_cut:,} rows cut, {cut.tokens_lost:,} tokens lost, {cut.trained_lost:,} of them trained; {cut.rows_without_label:,} rows left without a label",
            "warn" if cut.trained_lost else "",
        ),
        (f"padding by micro-batch   {waste}", ""),
        (f"packs, filled   {fill}", ""),
        (
            f"{steps:,} steps, {recipe.steps_per_epoch(sequences):,} per epoch of {sequences:,} {'rows' if packing == 'none' else 'packs'}",
            "",
        ),
    ]
