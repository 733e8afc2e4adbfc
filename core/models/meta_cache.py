"""Counting on the meta device without importing torch here: a child process does it, the answer is kept."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from core.models.architecture import Architecture, Linear, Module, Parameters
from core.workshop import Workshop
from core.workspace import cache_folder, write_atomically

_FORM = 1  # of the kept file; raise it when Architecture changes


def counted(config: dict[str, Any]) -> Architecture:
    """The architecture of a config from the meta device; from the cache if it was counted before.

    The first call for a config takes a few seconds (a process that imports transformers).
    """
    path = _place(config)
    kept = _read(path)
    if kept is not None:
        return kept
    workshop = Workshop()
    try:
        found: Architecture = workshop.wait(workshop.submit("core.models.meta:count", config=config))
    finally:
        workshop.close()
    write_atomically(path, json.dumps(dataclasses.asdict(found)))
    return found


def _place(config: dict[str, Any]) -> Path:
    text = json.dumps([_FORM, version("transformers"), config], sort_keys=True, default=str)
    return cache_folder() / "architectures" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


def _read(path: Path) -> Architecture | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        values["parameters"] = Parameters(**values["parameters"])
        values["linears"] = tuple(Linear(**one) for one in values["linears"])
        values["modules"] = tuple(
            Module(**{**one, "embedding": tuple(one["embedding"]) if one["embedding"] else None})
            for one in values["modules"]
        )
        values["layer_kinds"] = tuple(values["layer_kinds"])
        return Architecture(**values)
    except (OSError, ValueError, TypeError, KeyError):
        return None
