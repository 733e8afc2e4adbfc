"""Where runs, the cache and temporary files lie, how much room is left, and whether the place lasts."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from core.doctor.check import Check, State
from core.workspace import Workspace

_LEAST_BYTES = 2 << 30
_LITTLE_BYTES = 20 << 30
# File systems that do not outlive the machine or the container.
_PASSING = {
    "tmpfs": "in memory: gone at the next start",
    "ramfs": "in memory: gone at the next start",
    "overlay": "in the container's own layer: gone when the pod is removed",
}


def check_storage(workspace: Workspace) -> list[Check]:
    """Runs, model cache and temporary files."""
    from huggingface_hub import constants

    return [
        check_place(
            "disk of runs", workspace.runs, lasting=True, fix="name a workspace on a volume: --workspace"
        ),
        check_place(
            "disk of the cache", Path(constants.HF_HUB_CACHE), lasting=True, fix="set HF_HOME to a volume"
        ),
        check_place("disk of temporary files", Path(tempfile.gettempdir()), lasting=False, fix="set TMPDIR"),
    ]


def check_place(name: str, place: Path, *, lasting: bool, fix: str) -> Check:
    """Room at a place, and whether its file system lasts. The place need not exist yet."""
    existing = next(path for path in (place, *place.parents) if path.exists())
    free, kind = shutil.disk_usage(existing).free, file_system(existing)
    evidence = f"{free / 2**30:.1f} GiB free at {place} ({kind or 'unknown'})"
    state: State = "ok"
    if free < _LEAST_BYTES:
        return Check(name, "fail", evidence, "free some space")
    if free < _LITTLE_BYTES:
        state, fix = "warn", "an 8B model takes 16 GiB: free some space"
    elif lasting and kind in _PASSING:
        state, evidence = "warn", f"{evidence}, {_PASSING[kind]}"
    else:
        fix = ""
    return Check(name, state, evidence, fix)


def file_system(path: Path) -> str:
    """The kind of file system a path is on, by the longest mount point above it; empty where unknown."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:
        return ""
    resolved = path.resolve()
    above = [
        (len(point), kind)
        for _device, point, kind, *_rest in mounts
        if resolved == Path(point) or Path(point) in resolved.parents
    ]
    return max(above, default=(0, ""))[1]


def check_shared_memory() -> Check:
    """/dev/shm: data loaders with workers pass batches through it."""
    place = Path("/dev/shm")
    if not place.is_dir():
        return Check("shared memory", "skip", "no /dev/shm on this system")
    total = shutil.disk_usage(place).total
    text = f"{total / 2**20:.0f} MiB at /dev/shm"
    if total < 1 << 30:
        return Check(
            "shared memory", "warn", text, "more than one loader worker may fail: docker run --shm-size=8g"
        )
    return Check("shared memory", "ok", text)
