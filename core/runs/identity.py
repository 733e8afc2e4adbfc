"""Which process a run is, and whether that process still lives.

A number alone says nothing: process numbers are reused. A process is the same one if its number, its start
(counted by the kernel since boot, so that a changed clock does not matter), the boot and the host agree.
"""

from __future__ import annotations

import os
import platform
import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "tunedeck",
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "bitsandbytes",
    "datasets",
    "tokenizers",
    "safetensors",
)


@dataclass(frozen=True, slots=True)
class Process:
    """A process that can be recognised later, also after its number was given to another."""

    pid: int
    started: str
    boot: str
    host: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def this_process() -> Process:
    process = process_with(os.getpid())
    assert process is not None
    return process


def process_with(pid: int) -> Process | None:
    """The living process of that number on this host; None if there is none, or only its zombie."""
    started = _started(pid)
    return Process(pid, started, _boot(), socket.gethostname()) if started else None


def process_from_json(value: Any) -> Process | None:
    """The process written in a run's `run.json`; None if it is not there or not readable."""
    try:
        return Process(int(value["pid"]), str(value["started"]), str(value["boot"]), str(value["host"]))
    except (KeyError, TypeError, ValueError):
        return None


def is_here(process: Process) -> bool:
    """Whether the process runs, or ran, on this host; only then can it be looked up or signalled."""
    return process.host == socket.gethostname()


def is_alive(process: Process) -> bool:
    """Whether this very process still lives on this host."""
    return process_with(process.pid) == process


def versions() -> dict[str, str]:
    """Installed versions of what decides a training result, without importing any of it."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit and cleanliness of the folder's repository; None where there is none, or no git."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "clean": not _git(folder, "status", "--porcelain", "-uno")}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=3, check=True).stdout.strip()


def _started(pid: int) -> str:
    """Clock ticks since boot at which the process started; empty for no process or a zombie."""
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        # The name in brackets may hold spaces and brackets itself; fields are counted after the last one.
        fields = stat.rpartition(")")[2].split()
        return "" if fields[0] in ("Z", "X") else fields[19]
    import psutil

    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return ""


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
