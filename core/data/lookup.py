"""Finding an earlier preparation without a tokenizer: for plans, which must not load one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from core.data.rowpass import cut_length
from core.data.rows import Rows, read_rows
from core.recipe import Recipe
from core.workspace import cache_folder, write_json_atomically

# The files of a model folder that decide its tokens.
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "chat_template.jinja",
    "vocab.json",
)


def remember(recipe: Recipe, model_folder: Path, rows: Rows, eval_rows: Rows | None, digest: str) -> None:
    """Note that these rows, with these tokenizer files, were prepared under `digest`. A full disk is no error."""
    try:
        write_json_atomically(_note(_key(recipe, model_folder, rows, eval_rows)), {"digest": digest})
    except OSError:
        return


def cached_report(recipe: Recipe, model_folder: Path, *, workspace: Path | None = None) -> Path | None:
    """`report.json` of these very rows as last prepared; None if they were not. Raises as `read_rows` does."""
    data = recipe.data
    rows = read_rows(data.source, workspace, data)
    eval_rows = read_rows(data.eval_source, workspace, data) if data.eval_source else None
    try:
        note = json.loads(_note(_key(recipe, model_folder, rows, eval_rows)).read_text(encoding="utf-8"))
        report = cache_folder() / "prepared" / str(note["digest"]) / "report.json"
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return report if report.exists() else None


def _note(key: str) -> Path:
    return cache_folder() / "prepared-by-source" / f"{key}.json"


def _key(recipe: Recipe, model_folder: Path, rows: Rows, eval_rows: Rows | None) -> str:
    parts = {
        "rows": rows.fingerprint,
        "eval": eval_rows.fingerprint if eval_rows is not None else None,
        "data": recipe.data.model_dump(mode="json", exclude={"packing", "max_length"}),
        "cut": cut_length(recipe.data),
        "seed": recipe.training.seed,
        "tokenizer": [_stamp(model_folder / name) for name in _TOKENIZER_FILES],
        "folder": str(model_folder.resolve()),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
