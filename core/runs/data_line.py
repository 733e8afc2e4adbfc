"""The line about the rows in the checklist: how many are trained, and what the whole check says of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import TunedeckError
from core.recipe import Recipe
from core.runs.surroundings import Check

if TYPE_CHECKING:
    from core.data.prepare import Prepared
    from core.data.types import Finding

MOST_ROWS = (
    200_000  # checked on the spot; a larger set needs minutes, and is checked when a person asks for it
)
CODES_SHOWN = 3


def data_line(
    recipe: Recipe,
    model_folder: Path,
    prepared: Prepared,
    workspace: Path,
    progress: Callable[[Any], None] | None = None,
) -> Check:
    """Check the rows, or take the report of an earlier check, and say the worst in one line.

    Rows that are not trained and findings warn; only a set with nothing to train on blocks.
    """
    evidence = _counted(recipe, prepared)
    if prepared.trained_tokens == 0:
        return Check("data", "fail", evidence, "tunedeck check names the rows and the cause")
    try:
        findings = _findings(recipe, model_folder, prepared.rows, workspace, progress)
    except TunedeckError as error:
        return Check("data", "warn", f"{evidence}; not checked: {error.what}", error.fix)
    if findings is None:
        not_checked = f"{evidence}; not checked: {prepared.rows:,} rows"
        return Check("data", "warn", not_checked, "run tunedeck check")
    found = findings_in_words(findings)
    if not found:
        return Check("data", "ok", evidence)
    return Check("data", "warn", f"{evidence}; {found}", "tunedeck check lists them")


def findings_in_words(findings: Sequence[Finding]) -> str:
    """Errors and warnings by number, and the codes of the worst severity with their rows; empty if there are none."""
    parts: list[str] = []
    worst: list[Finding] = []
    for severity in ("error", "warning"):
        found = [item for item in findings if item.severity == severity]
        if found:
            parts.append(f"{len(found):,} {severity}{'s' if len(found) > 1 else ''}")
            worst = worst or found
    if not worst:
        return ""
    named = [f"{item.code} ({_rows(item)})" for item in worst[:CODES_SHOWN]]
    more = f" and {len(worst) - CODES_SHOWN} more" if len(worst) > CODES_SHOWN else ""
    return f"{', '.join(parts)}: {', '.join(named)}{more}"


def _counted(recipe: Recipe, prepared: Prepared) -> str:
    held_out = 0 if recipe.data.eval_source else prepared.eval_examples
    untrained = prepared.rows - prepared.examples - held_out
    parts = [f"{prepared.examples:,} of {prepared.rows:,} rows, {prepared.trained_tokens:,} trained tokens"]
    if held_out:
        parts.append(f"{held_out:,} held out")
    if untrained:
        parts.append(f"{untrained:,} not trained")
    return ", ".join(parts)


def _rows(finding: Finding) -> str:
    if not finding.rows:
        return "the whole set"
    return f"{finding.count:,} row{'s' if finding.count > 1 else ''}"


def _findings(
    recipe: Recipe,
    model_folder: Path,
    rows: int,
    workspace: Path,
    progress: Callable[[Any], None] | None,
) -> tuple[Finding, ...] | None:
    """What a check finds; None for a large set that nobody has checked."""
    from core.data.check import check, earlier_report

    if rows <= MOST_ROWS:
        return check(recipe, model_folder, progress, workspace=workspace).findings
    report = earlier_report(recipe, model_folder, workspace=workspace)
    return None if report is None else report.findings
