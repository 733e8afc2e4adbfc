"""Finding an earlier preparation without a tokenizer: for plans, which must not load one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from core.data.rowpass import cut_length
from core.data.rows import Rows, read_rows
from core.data.tokenizer import folder_state
from core.errors import MissingError
from core.recipe import Recipe
from core.workspace import cache_folder, write_json_atomically

_LIBRARIES = ("tokenizers", "transformers", "trl")


def remember(
    recipe: Recipe,
    model_folder: Path,
    rows: Rows,
    eval_rows: Rows | None,
    digest: str,
    workspace: Path | None = None,
) -> None:
    """Note that these rows, with these tokenizer files, were prepared under `digest`. A full disk is no error."""
    note = _note(set_key(recipe, model_folder, rows, eval_rows, workspace))
    with contextlib.suppress(OSError):
        write_json_atomically(note, {"digest": digest, "made": circumstances()})


def known_digest(
    recipe: Recipe, model_folder: Path, rows: Rows, eval_rows: Rows | None, workspace: Path | None = None
) -> str | None:
    """The digest of these very rows if they were prepared today with these libraries; no tokenizer is loaded.

    The day counts because a template may print it. None where another model's template is asked for: its
    files are not looked at here.
    """
    template = recipe.data.template
    if template not in ("model", "trl-training") and not _path(template, workspace).is_file():
        return None
    try:
        path = _note(set_key(recipe, model_folder, rows, eval_rows, workspace))
        note = json.loads(path.read_text(encoding="utf-8"))
        return str(note["digest"]) if note["made"] == circumstances() else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@lru_cache(maxsize=1)
def libraries() -> dict[str, str]:
    """Versions of what decides ids and labels."""
    return {name: version(name) for name in _LIBRARIES}


def cached_report(recipe: Recipe, model_folder: Path, *, workspace: Path | None = None) -> Path | None:
    """`report.json` of these very rows as last prepared; None if they were not, or are not on this machine.

    Raises as `read_rows` does for a source that cannot be one.
    """
    data = recipe.data
    try:
        rows = read_rows(data.source, workspace, data, reach="here")
        eval_rows = read_rows(data.eval_source, workspace, data, reach="here") if data.eval_source else None
    except MissingError:
        return None
    try:
        note = json.loads(_note(set_key(recipe, model_folder, rows, eval_rows, workspace)).read_text("utf-8"))
        report = cache_folder() / "prepared" / str(note["digest"]) / "report.json"
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return report if report.exists() else None


def _note(key: str) -> Path:
    return cache_folder() / "prepared-by-source" / f"{key}.json"


def circumstances() -> dict[str, Any]:
    """Library versions and the day, which a template may print."""
    return {"libraries": libraries(), "day": time.strftime("%Y-%m-%d")}


def _path(template: str, workspace: Path | None) -> Path:
    return (workspace or Path.cwd()) / Path(template).expanduser()


def set_key(
    recipe: Recipe, model_folder: Path, rows: Rows, eval_rows: Rows | None, workspace: Path | None
) -> str:
    """A digest of rows, tokenizer and template files and the sections that decide ids and labels; nothing is loaded."""
    parts = {
        "rows": rows.fingerprint,
        "eval": eval_rows.fingerprint if eval_rows is not None else None,
        "data": recipe.data.model_dump(mode="json", exclude={"packing", "max_length"}),
        "cut": cut_length(recipe.data),
        "seed": recipe.training.seed,
        "tokenizer": folder_state(model_folder),
        "template": _stamp(_path(recipe.data.template, workspace)),
        "folder": str(model_folder.resolve()),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
