"""A check report as plain lines: totals, then one block per finding, the gravest first."""

from __future__ import annotations

from core.data.check import HISTOGRAM_BARS, CheckReport
from core.data.statistics import cut_at, histogram, summary
from core.data.types import Finding
from core.recipe import Recipe
from tui.widgets.text import visible

MARKS = {"error": "✗", "warning": "!", "note": "·"}
_ROWS_SHOWN = 12
_BAR_CELLS = 40


def report_lines(report: CheckReport, recipe: Recipe) -> list[str]:
    """The report as plain text: totals, the figures of the recipe's max_length, then one block per finding."""
    share = f"{report.trained_tokens / report.tokens:.0%}" if report.tokens else "0%"
    lines = [
        f"{plural(report.rows, 'row')}: {report.examples:,} to train on, {report.eval_examples:,} held out "
        + (
            "(from an earlier check)"
            if report.cached
            else f"({report.seconds['total']:.1f} s with {report.engine})"
        ),
        f"to train on, after the cut: {plural(report.tokens, 'token')}, {report.trained_tokens:,} trained ({share})",
    ]
    if len(report.lengths.tokens):
        lines += figure_lines(report, recipe)
    lines += [visible(note) for note in report.notes]
    counts = {severity: sum(item.severity == severity for item in report.findings) for severity in MARKS}
    lines += ["", ", ".join(plural(count, severity) for severity, count in counts.items())]
    for finding in report.findings:
        lines += ["", *finding_lines(finding)]
    return lines


def figure_lines(report: CheckReport, recipe: Recipe) -> list[str]:
    """Roles, lengths with the place of max_length among them, what it costs, and the steps."""
    figures = summary(report.lengths)
    limit = recipe.data.max_length
    cut = cut_at(report.lengths, limit, seed=recipe.training.seed)
    sequences = report.sequences(recipe.data.packing, cut)
    roles = sorted(figures.by_role.items(), key=lambda item: -item[1])
    drawn = plural(sequences, "row" if recipe.data.packing == "none" else "pack")
    lines = [
        f"all {plural(figures.examples, 'row')} with tokens, before the cut: {plural(figures.tokens, 'token')}, "
        f"{figures.trained_tokens:,} trained ({figures.trained_share:.0%})",
        "tokens by role: " + ", ".join(f"{visible(name)} {count:,} ({count / figures.tokens:.0%})" for name, count in roles),
        "tokens per row: " + _quantiles(figures.quantiles),
        "trained per row: " + _quantiles(figures.trained_quantiles),
        f"the tenth of the rows with most trained tokens holds {figures.heaviest_tenth:.0%} of them",
        "",
        *_histogram(report, limit),
        "",
        f"max_length {limit:,}: {plural(cut.rows_cut, 'row')} cut, {plural(cut.tokens_lost, 'token')} lost, "
        f"{cut.trained_lost:,} of them trained; {plural(cut.rows_without_label, 'row')} left without a label",
        "padding by micro-batch: " + ", ".join(f"{size}: {share:.0%}" for size, share in cut.padding_waste.items()),
        "packs, filled: " + ", ".join(f"{name} {plural(cut.packs[name], 'pack')}, {share:.0%}" for name, share in cut.packing_fill.items()),
        f"steps: {recipe.steps(sequences):,}, {recipe.steps_per_epoch(sequences):,} per epoch of {drawn}",
    ]  # fmt: skip
    return lines if roles else [lines[0], *lines[2:]]


def _quantiles(values: dict[str, int]) -> str:
    return ", ".join(f"{name} {value:,}" for name, value in values.items())


def _histogram(report: CheckReport, max_length: int) -> list[str]:
    """Rows by length, one bar each, with a mark at the bar in which max_length falls."""
    counts, edges = histogram(report.lengths, HISTOGRAM_BARS)
    most = max(int(counts.max()), 1)
    lines, marked = [], False
    for count, first, after in zip(counts.tolist(), edges.tolist(), edges[1:].tolist(), strict=False):
        here = not marked and max_length < after
        marked = marked or here
        bar = "█" * -(-count * _BAR_CELLS // most)
        mark = f"  ◀ max_length {max_length:,}" if here else ""
        lines.append(f"{first:>9,} {bar:<{_BAR_CELLS}} {count:,}{mark}")
    return lines


def plural(count: int, word: str) -> str:
    """1 row, 2 rows."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def finding_lines(finding: Finding) -> list[str]:
    """One finding: mark, code and count; the cause; the fix; the first rows."""
    count = plural(finding.count, "row") if finding.rows else "the whole set"
    lines = [
        f"{MARKS[finding.severity]} {finding.severity} {finding.code}: {count}",
        f"  {visible(finding.cause)}",
        f"  fix: {visible(finding.fix)}",
    ]
    if finding.rows:
        more = f" and {finding.count - _ROWS_SHOWN:,} more" if finding.count > _ROWS_SHOWN else ""
        lines.append(
            f"  {'row' if finding.count == 1 else 'rows'} {', '.join(map(str, finding.rows[:_ROWS_SHOWN]))}{more}"
        )
    return lines
