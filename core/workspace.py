"""Where things live on disk, and writes that are never seen half done."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UsageError

WORKSPACE_VARIABLE = "TUNEDECK_WORKSPACE"

# The demo is part of the package: model "demo", and data such as "demo/yoda.jsonl".
EMBEDDED_MODEL = Path(__file__).parent / "demo" / "model"
EMBEDDED_DATA = Path(__file__).parent / "demo" / "data"
EMBEDDED_PREFIX = "demo/"


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder the person works in: recipes and `runs/`."""

    root: Path

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def trash(self) -> Path:
        return self.runs / ".trash"


def find_workspace(named: str | Path | None = None) -> Workspace:
    """The workspace that was named, else `TUNEDECK_WORKSPACE`, else the current folder.

    Raises UsageError if the name is that of a file. A folder that does not exist yet is fine; it is
    made when something is first written into it.
    """
    chosen = named or os.environ.get(WORKSPACE_VARIABLE) or "."
    root = Path(chosen).expanduser().resolve()
    if root.exists() and not root.is_dir():
        raise UsageError("the workspace is a file", where=str(root), fix="name a folder with --workspace")
    return Workspace(root)


def embedded(source: str) -> Path | None:
    """The embedded file that a data source such as "demo/yoda.jsonl" names, None for any other source.

    Raises UsageError if there is no such embedded file; a file of one's own in a folder named `demo`
    is reached as "./demo/...".
    """
    if not source.startswith(EMBEDDED_PREFIX):
        return None
    name = source.removeprefix(EMBEDDED_PREFIX)
    known = sorted(path.name for path in EMBEDDED_DATA.iterdir() if path.is_file())
    if name not in known:
        raise UsageError(
            "the demo has no such data file",
            where=source,
            fix=f"it has {', '.join(known)}; your own folder named demo is ./{source}",
        )
    return EMBEDDED_DATA / name


def cache_folder() -> Path:
    """tunedeck's own cache (prepared data, calibration); safe to delete. Follows XDG_CACHE_HOME."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "tunedeck"


def state_folder() -> Path:
    """What should survive but is not a person's work (log of the app, copied text). Follows XDG_STATE_HOME."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "tunedeck"


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    The temporary file is made in the same folder, flushed to disk, then renamed over the target.
    Raises OSError; the target is then unchanged and the temporary file is gone.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, so that two programs that read, add and write at the same time lose nothing."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Some network file systems refuse locks on folders; what is written is still whole.
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write_json_atomically(path: Path, value: Any) -> None:
    """`write_atomically` for a JSON document, indented for people."""
    write_atomically(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
