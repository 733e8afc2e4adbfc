"""Notes become findings: one per diagnosis, one root cause per row, worst first."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from core.data.checks.catalogue import CATALOGUE
from core.data.checks.facts import Note
from core.data.checks.model import WHOLE_SET
from core.data.types import Finding, RowProblem, Severity

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
_ALWAYS = 9  # the stage of signs that are no consequence of another
_LABELS = 3
_DETAILS_SHOWN = 3


def root_causes(notes: Iterable[Note]) -> list[Note]:
    """The notes of one row without those that follow from an error of an earlier stage."""
    found = list(dict.fromkeys(notes))
    errors = [CATALOGUE[note.code].stage for note in found if CATALOGUE[note.code].severity == "error"]
    first = min((stage for stage in errors if stage < _ALWAYS), default=_ALWAYS)
    kept: list[Note] = []
    label_error = False
    for note in found:
        diagnosis = CATALOGUE[note.code]
        if first < diagnosis.stage < _ALWAYS:
            continue
        if diagnosis.stage == _LABELS:
            if label_error:
                continue
            label_error = diagnosis.severity == "error"
        kept.append(note)
    return kept


def findings_of(notes: Iterable[Note], problems: Iterable[RowProblem]) -> tuple[Finding, ...]:
    """All findings, errors first, then by number of rows."""
    by_code: dict[str, list[Note]] = defaultdict(list)
    for note in notes:
        by_code[note.code].append(note)
    unread: dict[tuple[str, str], list[RowProblem]] = defaultdict(list)
    for problem in problems:
        unread[problem.code, problem.fix].append(problem)
    found = [_finding(code, of_code) for code, of_code in by_code.items()]
    found += [
        Finding(
            code,
            of_code[0].severity,
            _rows(of_code),
            f"not trained: {_details(of_code[0].row, [p.cause for p in of_code])}",
            fix,
        )
        for (code, fix), of_code in unread.items()
    ]
    return tuple(sorted(found, key=lambda item: (SEVERITIES.index(item.severity), -item.count, item.code)))


def _finding(code: str, notes: list[Note]) -> Finding:
    diagnosis = CATALOGUE[code]
    detail = _details(notes[0].row, [note.detail for note in notes])
    cause = diagnosis.cause.replace("{detail}", detail).replace(
        "{amount}", f"{sum(note.amount for note in notes):,}"
    )
    fix = diagnosis.fix.replace("{detail}", detail)
    return Finding(code, diagnosis.severity, _rows(notes), cause, fix)


def _rows(items: list[Note] | list[RowProblem]) -> tuple[int, ...]:
    return tuple(sorted({item.row for item in items if item.row != WHOLE_SET}))


def _details(first_row: int, details: list[str]) -> str:
    """A few causes with their counts, or the first one of many."""
    counts = Counter(details)
    if len(counts) == 1:
        return details[0]
    if len(counts) <= _DETAILS_SHOWN:
        return "; ".join(f"{detail} ({count})" for detail, count in counts.most_common())
    return f"{details[0]} (row {first_row}; {len(counts) - 1} others differ)"
