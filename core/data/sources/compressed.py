"""Compressed files are unpacked once into the cache, so that their records can be reached by number."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import IO

from core.errors import TunedeckError, UsageError
from core.workspace import cache_folder

_CODECS = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd", ".lz4": "lz4"}
_COPY_BYTES = 4 * 1024**2
_KEEP_FREE_BYTES = 1024**3  # an archive that unpacks to more than the disk holds stops before it is full


def is_compressed(path: Path) -> bool:
    return path.suffix in _CODECS


def unpacked(path: Path) -> Path:
    """The unpacked copy, made if it is not in the cache yet. Memory stays flat.

    Raises UsageError if the file is damaged, TunedeckError if the disk is too full.
    """
    stat = path.stat()
    key = hashlib.blake2b(
        f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}".encode(), digest_size=16
    ).hexdigest()
    target = cache_folder() / "unpacked" / key / path.with_suffix("").name
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    try:
        with _open(path) as packed, partial.open("wb") as plain:
            while piece := packed.read(_COPY_BYTES):
                plain.write(piece)
                if shutil.disk_usage(target.parent).free < _KEEP_FREE_BYTES:
                    raise TunedeckError(
                        "unpacking would fill the disk",
                        where=str(path),
                        fix="free some space, or set XDG_CACHE_HOME",
                    )
    except (OSError, EOFError, ValueError) as error:
        partial.unlink(missing_ok=True)
        raise UsageError(f"cannot be unpacked: {error}", where=str(path)) from None
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    partial.replace(target)
    return target


def _open(path: Path) -> IO[bytes]:
    codec = _CODECS[path.suffix]
    if codec == "xz":
        import lzma

        return lzma.open(path, "rb")
    import pyarrow as pa

    return pa.input_stream(str(path), compression=codec)
