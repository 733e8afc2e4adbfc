"""Whether a folder holds a whole model, seen from file names alone (no header is opened)."""

from __future__ import annotations

import re
from pathlib import Path

from core.errors import TunedeckError
from core.models.weight_files import INDEX, shard_names

_SHARD = re.compile(r"-(\d+)-of-(\d+)\.safetensors$")


def missing_from(folder: Path, allow_pickle: str = "") -> str:
    """What a model folder lacks before it can be loaded, in words; empty if it is whole.

    A download that stopped half way always lacks something: a config, an index, or a weight file.
    """
    if not (folder / "config.json").is_file():
        return "no config.json"
    try:
        names = shard_names(folder)
    except TunedeckError as error:
        return error.what
    if not names:
        pickled = folder / allow_pickle if allow_pickle and Path(allow_pickle).name == allow_pickle else None
        return "" if pickled is not None and pickled.is_file() else "no weights"
    parts = [match for name in names if (match := _SHARD.search(name))]
    if parts and not (folder / INDEX).is_file():
        return "no index of the weight files"
    if parts and len(parts) < int(parts[0].group(2)):
        return f"{int(parts[0].group(2)) - len(parts)} of {int(parts[0].group(2))} weight files"
    return ""
