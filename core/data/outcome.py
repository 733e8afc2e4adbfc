"""What preparation itself must report: rows that are not trained, and what was cut."""

from __future__ import annotations

from collections import defaultdict

from core.data.rowpass import Outcome
from core.data.types import Finding

_FIXES = {
    "template-refuses": "mend these rows, or choose another template in data.template",
    "no-template": 'use rows with "text" or prompt and completion as strings, or name a template in data.template',
    "not-aligned": 'use data.template = "trl-training", or loss_on = "completion"',
    "no-trained-token": "add an answer to these rows, or choose another data.loss_on",
    "cut-before-answer": "raise data.max_length, or shorten the prompts",
    "empty-rendering": "check the role names of these rows",
    "loss-on-impossible": 'use loss_on = "auto"',
    "preference-rows": "keep the chosen answer as a conversation",
    "lone-surrogate": "mend the text of these rows",
}

_CAUSES_NAMED = 8


def findings_of(outcome: Outcome, max_length: int) -> tuple[Finding, ...]:
    """One finding per cause, worst first: nothing is left out of training without one."""
    found = []
    for code, where in outcome.problems.items():
        fix = _FIXES.get(code, "mend or remove the rows; the others are used")
        for cause, rows in _by_cause(where):
            found.append(Finding(code, "error", rows, f"not trained: {cause}", fix))
    if outcome.cut:
        found.append(
            Finding(
                "cut-by-max-length",
                "warning" if outcome.trained_tokens_cut else "note",
                tuple(outcome.cut),
                f"longer than max_length {max_length}: {outcome.tokens_cut} tokens cut, "
                f"{outcome.trained_tokens_cut} of them trained",
                "raise data.max_length, or split the rows",
            )
        )
    return tuple(sorted(found, key=lambda item: ("error", "warning", "note").index(item.severity)))


def _by_cause(where: list[tuple[int, str]]) -> list[tuple[str, tuple[int, ...]]]:
    """Rows under their own cause, the most frequent first; where there are many, the rest is told as a number."""
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, cause in sorted(where):
        rows_of[cause].append(row)
    ranked = sorted(rows_of.items(), key=lambda item: -len(item[1]))
    named = [(cause, tuple(rows)) for cause, rows in ranked[:_CAUSES_NAMED]]
    rest = ranked[_CAUSES_NAMED:]
    if rest:
        rows = tuple(sorted(row for _, of_cause in rest for row in of_cause))
        plural = "s" if len(rest) > 1 else ""
        named.append((f"{len(rest):,} other cause{plural}, the first: {rest[0][0]}", rows))
    return named
