"""Tokenizers as transformers loaded them, kept for processes that need no more than the Rust tokenizer.

Which class a folder's tokenizer is loaded as, and what that class makes of its files, only transformers
knows; importing it takes seconds. So a short-lived process (without torch, which tokenizers do not need)
asks it once per folder and version and keeps the outcome: the Rust tokenizer as JSON and the few facts
beside it. What is kept gives the same ids; tested over every tokenizer at hand. A tokenizer that is more
than its Rust part is not kept.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import hashlib
import json
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from core.workspace import cache_folder, write_atomically

_FORM = 1  # of what is kept; raise it when Facts changes
_MOST_KEPT = 20
_LONGEST_SECONDS = 60.0
_WEIGHTS = (".safetensors", ".bin", ".gguf", ".pt", ".pth", ".h5", ".msgpack", ".onnx")
# Methods of transformers' own backend class that a tokenizer must not have replaced.
_METHODS = (
    "__call__", "_encode_plus", "_decode", "decode", "convert_ids_to_tokens", "_convert_id_to_token", "get_added_vocab",
)  # fmt: skip
_PLAIN_MODULES = ("transformers.tokenization_utils_tokenizers", "transformers.tokenization_utils_base")


def kept(folder: Path) -> tuple[dict[str, Any], Any] | None:
    """The facts and the Rust tokenizer of a folder; None where transformers itself has to be asked."""
    place = _place(folder)
    found = _read(place)
    if found is None and "transformers" not in sys.modules:
        _make(folder, place)
        found = _read(place)
    if found is None or not found["usable"]:
        return None
    from tokenizers import Tokenizer

    return found["facts"], Tokenizer.from_file(str(place / "tokenizer.json"))


def make_ready(folder: Path) -> None:
    """Have a folder's tokenizer kept, if it is not yet. Waits for it; a folder without one is left alone."""
    place = _place(folder)
    if _read(place) is None and any(folder.glob("tokenizer*")):
        _make(folder, place)


def _make(folder: Path, place: Path) -> None:
    command = [sys.executable, "-P", "-m", "core.data.kept_tokenizer", str(folder), str(place)]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LONGEST_SECONDS)


def keep(folder: Path, place: Path) -> None:
    """Ask transformers for the tokenizer of a folder and keep it in `place`. Raises what transformers raises."""
    from core.data.tokenizer import facts_of, from_transformers

    hf = from_transformers(folder)
    facts = facts_of(hf) if is_plain(hf) else None
    text = json.dumps({"usable": facts is not None, "facts": facts})
    if facts is not None:
        write_atomically(place / "tokenizer.json", hf.backend_tokenizer.to_str())
    write_atomically(place / "facts.json", text)
    _forget_oldest(place.parent)


def is_plain(hf: Any) -> bool:
    """Whether the Rust tokenizer alone gives all that a transformers tokenizer gives."""
    if getattr(hf, "backend_tokenizer", None) is None:
        return False
    hf("", add_special_tokens=False)  # sets the options that every later call has
    if hf.backend_tokenizer.encode_special_tokens:
        return False
    owners = [next(kind for kind in type(hf).__mro__ if name in vars(kind)) for name in _METHODS]
    return all(owner.__module__ in _PLAIN_MODULES for owner in owners)


def _read(place: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((place / "facts.json").read_text(encoding="utf-8"))
        return found if isinstance(found["usable"], bool) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _place(folder: Path) -> Path:
    parts = [_FORM, version("transformers"), version("tokenizers"), str(folder), _state(folder)]
    return cache_folder() / "tokenizers" / hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _state(folder: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and times of all files but the weights."""
    paths = [*folder.iterdir(), *folder.glob("*chat_templates/*")]
    stats = [
        (str(path.relative_to(folder)), path.stat()) for path in sorted(paths) if path.suffix not in _WEIGHTS
    ]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def _forget_oldest(cache: Path) -> None:
    with contextlib.suppress(OSError):
        folders = sorted(filter(Path.is_dir, cache.iterdir()), key=lambda item: item.stat().st_mtime)
        for folder in folders[:-_MOST_KEPT]:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """The short-lived process: FOLDER PLACE. Where another is at it already, its outcome is waited for."""
    sys.modules["torch"] = None  # type: ignore[assignment]  # its import takes longer than all the rest
    folder, place = map(Path, sys.argv[1:])
    place.parent.mkdir(parents=True, exist_ok=True)
    with (place.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _read(place) is None:
            gc.disable()  # imports make much and drop nothing
            keep(folder, place)


if __name__ == "__main__":
    main()
