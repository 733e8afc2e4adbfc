"""Results are made aside and renamed when they are whole: nothing half done ever carries a final name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import TunedeckError, UsageError

MARGIN = 1.02  # headers, tokenizer and file system blocks beside the weights


@contextmanager
def made_aside(target: Path, needed_bytes: int = 0) -> Iterator[Path]:
    """Yield a path beside `target` to write to; afterwards it is renamed, on an error it is removed.

    What is written may be a file or a folder. Raises UsageError if the target exists, TunedeckError if it
    cannot be written or `needed_bytes` do not fit on its disk; the cause of an OSError inside is put in words.
    """
    if target.exists():
        raise UsageError("it exists already", where=str(target), fix="name another, or remove it first")
    aside = target.with_name(f".{target.name}.partial")
    from safetensors import SafetensorError

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        require_space(target.parent, needed_bytes)
        _remove(aside)
        yield aside
        _flush(aside)
        aside.rename(target)
    except SafetensorError as error:
        if "os error" not in str(error):  # a file that was read is damaged
            raise
        raise _cannot_write(target, str(error)) from error
    except OSError as error:
        raise _cannot_write(target, error.strerror or str(error)) from error
    finally:
        _remove(aside)


def _cannot_write(target: Path, why: str) -> TunedeckError:
    return TunedeckError(
        f"cannot be written: {why}",
        where=str(target),
        fix="free space or permissions there, or name another place with --out",
    )


def require_space(folder: Path, needed_bytes: int) -> None:
    """Raise TunedeckError if the disk of `folder` has less free space than a result needs."""
    free = shutil.disk_usage(folder).free
    needed = int(needed_bytes * MARGIN)
    if needed > free:
        raise TunedeckError(
            f"needs {gib(needed)} and the disk has {gib(free)} free",
            where=str(folder),
            fix="free space, or name another place with --out",
        )


def require_memory(needed_bytes: int, what: str) -> None:
    """Raise TunedeckError if the host's free memory is less than a step needs."""
    import psutil

    free = psutil.virtual_memory().available
    if needed_bytes > free:
        raise TunedeckError(
            f"{what} needs {gib(needed_bytes)} of memory and {gib(free)} are free",
            where="host memory",
            fix="close other programs, or do it on a machine with more memory",
        )


def weight_bytes(folder: Path) -> int:
    """Bytes of the weight files of a model or adapter folder."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors")) or sum(
        path.stat().st_size for path in folder.glob("*.bin")
    )


def gib(count: int) -> str:
    """Bytes for people."""
    return f"{count / 2**30:.2f} GiB" if count >= 2**27 else f"{count / 2**20:.1f} MiB"


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Everything on disk before the name is given."""
    for part in [*path.rglob("*"), path] if path.is_dir() else [path]:
        handle = os.open(part, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
