"""Which rows are listed and in what order: terms of the filter, sorting, rows of findings. Plain arrays in and out."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from core.data.check import CheckReport
from core.data.statistics import Lengths
from core.data.types import Finding

SORTS = ("number", "longest first", "shortest first", "least trained first", "most trained first")
_TERM = re.compile(r"(tokens|trained)(<=|>=|<|>|=)([\d,_]+)(%?)")
_SEVERITIES = {
    "error": "error",
    "errors": "error",
    "warning": "warning",
    "warnings": "warning",
    "note": "note",
}
_COMPARED: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "<": np.less, ">": np.greater, "=": np.equal, "<=": np.less_equal, ">=": np.greater_equal,
}  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """A filter as it was typed: `text` to look for in the rows, and terms that the check's report answers."""

    typed: str
    text: str
    terms: tuple[str, ...]


def wanted(typed: str, codes: frozenset[str] = frozenset()) -> Wanted:
    """Read a filter: words that are terms or the `codes` of findings are terms, the rest is text."""
    words = typed.split()
    terms = tuple(word for word in words if _TERM.fullmatch(word) or word in _SEVERITIES or word in codes)
    if not terms:
        return Wanted(typed, typed, ())
    return Wanted(typed, " ".join(word for word in words if word not in terms), terms)


def rows_that(terms: tuple[str, ...], report: CheckReport) -> np.ndarray:
    """The row numbers that meet all terms, in order, int64."""
    kept: np.ndarray = np.arange(report.rows, dtype=np.int64)
    for term in terms:
        kept = np.intersect1d(kept, _rows_of(term, report))
    return kept


def _rows_of(term: str, report: CheckReport) -> np.ndarray:
    found = _TERM.fullmatch(term)
    if found is None:
        named = [
            item for item in report.findings if item.code == term or item.severity == _SEVERITIES.get(term)
        ]
        return np.asarray(sorted({row for item in named for row in item.rows}), dtype=np.int64)
    what, compared, digits, percent = found.groups()
    value = float(re.sub(r"[,_]", "", digits))
    lengths = report.lengths
    figures: np.ndarray = lengths.tokens if what == "tokens" else lengths.trained
    if percent:
        figures = 100 * figures / np.maximum(lengths.tokens, 1)
    return lengths.rows[_COMPARED[compared](figures, value)]


def in_order(numbers: np.ndarray | None, order: str, report: CheckReport | None) -> np.ndarray | None:
    """These rows (None: all of them) in one of `SORTS`; rows without tokens stand last."""
    if order == SORTS[0] or report is None:
        return numbers
    if numbers is None:
        numbers = np.arange(report.rows, dtype=np.int64)
    keys: np.ndarray = np.full(report.rows, np.inf)
    keys[report.lengths.rows] = _keys(report.lengths, order)
    return numbers[np.argsort(keys[numbers], kind="stable")]


def _keys(lengths: Lengths, order: str) -> np.ndarray:
    share = lengths.trained / np.maximum(lengths.tokens, 1)
    keys = {SORTS[1]: -lengths.tokens, SORTS[2]: lengths.tokens, SORTS[3]: share, SORTS[4]: -share}
    return keys[order]


def gravest(report: CheckReport) -> dict[int, str]:
    """For every row with a finding, the worst severity."""
    found: dict[int, str] = {}
    for finding in report.findings:  # errors come first
        for row in finding.rows:
            found.setdefault(row, finding.severity)
    return found


def next_row(rows: tuple[int, ...], here: int, step: int) -> int | None:
    """The nearest of `rows` after (step 1) or before (step -1) a row."""
    beyond = [row for row in rows if (row > here if step > 0 else row < here)]
    return None if not beyond else min(beyond) if step > 0 else max(beyond)


def finding_at(report: CheckReport, row: int) -> Finding | None:
    """The gravest finding that names this row."""
    return next((finding for finding in report.findings if row in finding.rows), None)
