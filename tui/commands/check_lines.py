"""A check report as plain lines: totals, then one block per finding, the gravest first."""

from __future__ import annotations

from core.data.check import CheckReport
from core.data.statistics import summary
from core.data.types import Finding
from tui.widgets.text import visible

MARKS = {"error": "✗", "warning": "!", "note": "·"}
_ROWS_SHOWN = 12


def report_lines(report: CheckReport) -> list[str]:
    """The report as plain text: totals, then one block per finding, the gravest first."""
    figures = summary(report.lengths)
    share = f"{report.trained_tokens / report.tokens:.0%}" if report.tokens else "0%"
    lines = [
        f"{report.rows:,} rows: {report.examples:,} to train on, {report.eval_examples:,} held out "
        f"({report.seconds['total']:.1f} s with {report.engine})",
        f"{report.tokens:,} tokens, {report.trained_tokens:,} trained ({share})",
    ]
    if figures.examples:
        lines.append(
            "lengths: " + ", ".join(f"{name} {value:,}" for name, value in figures.quantiles.items())
        )
    lines += [visible(note) for note in report.notes]
    counts = {severity: sum(item.severity == severity for item in report.findings) for severity in MARKS}
    lines += ["", ", ".join(f"{count} {severity}s" for severity, count in counts.items())]
    for finding in report.findings:
        lines += ["", *finding_lines(finding)]
    return lines


def finding_lines(finding: Finding) -> list[str]:
    """One finding: mark, code and count; the cause; the fix; the first rows."""
    count = f"{finding.count:,} row{'s' * (finding.count != 1)}" if finding.rows else "the whole set"
    lines = [
        f"{MARKS[finding.severity]} {finding.severity} {finding.code}: {count}",
        f"  {visible(finding.cause)}",
        f"  fix: {visible(finding.fix)}",
    ]
    if finding.rows:
        more = f" and {finding.count - _ROWS_SHOWN:,} more" if finding.count > _ROWS_SHOWN else ""
        lines.append(f"  rows {', '.join(map(str, finding.rows[:_ROWS_SHOWN]))}{more}")
    return lines
