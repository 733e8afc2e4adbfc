"""Reports of earlier checks, so that a second look at the same rows, model and settings is instant."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.data.checks.catalogue import CATALOGUE
from core.data.lookup import circumstances, set_key
from core.data.rows import Rows
from core.data.statistics import Lengths
from core.data.types import Finding
from core.recipe import Recipe
from core.workspace import cache_folder, write_json_atomically

if TYPE_CHECKING:
    from core.data.check import CheckReport

# Raised when the same inputs would give another report, so that older ones are not used.
CHECK_VERSION = 2
_KEPT_REPORTS = 30


def report_place(
    recipe: Recipe, model_folder: Path, rows: Rows, eval_rows: Rows | None, workspace: Path | None
) -> Path | None:
    """The folder of this check's report in the cache; None where what decides it cannot be told without loading it.

    Rows, tokenizer and template files, the data section, seed, library versions and the day decide it.
    """
    template = recipe.data.template
    own_file = ((workspace or Path.cwd()) / Path(template).expanduser()).is_file()
    if template not in ("model", "trl-training") and not own_file:
        return None
    parts = {
        "version": CHECK_VERSION,
        "catalogue": [(code, asdict(diagnosis)) for code, diagnosis in CATALOGUE.items()],
        "set": set_key(recipe, model_folder, rows, eval_rows, workspace),
        "data": recipe.data.model_dump(mode="json"),
        "remote_code": recipe.model.trust_remote_code,
        "made": circumstances(),
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return cache_folder() / "checked" / digest


def kept_fields(place: Path) -> dict[str, Any] | None:
    """The fields of a kept report, as CheckReport takes them; None if there is none that can be read."""
    try:
        fields = json.loads((place / "report.json").read_text(encoding="utf-8"))
        fields["lengths"] = Lengths.load(place / "lengths.npz")
        fields["findings"] = tuple(
            Finding(**{**item, "rows": tuple(item["rows"])}) for item in fields["findings"]
        )
        fields["notes"] = tuple(fields["notes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dict(fields)


def keep(place: Path, report: CheckReport) -> None:
    """Write a report into the cache and forget the oldest ones. A full disk is no error."""
    with contextlib.suppress(OSError):
        place.mkdir(parents=True, exist_ok=True)
        report.lengths.save(place / "lengths.npz")
        fields = {
            name: getattr(report, name) for name in type(report).__dataclass_fields__ if name != "lengths"
        }
        fields["findings"] = [asdict(finding) for finding in report.findings]
        write_json_atomically(place / "report.json", fields)
        for folder in sorted(place.parent.iterdir(), key=lambda item: item.stat().st_mtime)[:-_KEPT_REPORTS]:
            shutil.rmtree(folder, ignore_errors=True)
