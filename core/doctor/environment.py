"""Python, packages, the host's memory, and which optional kernels are there."""

from __future__ import annotations

import importlib.util
import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from core.doctor.check import Check

OLDEST, NEWEST = (3, 11), (3, 13)
TESTED_FILE = Path(__file__).with_name("tested.json")


def check_python() -> Check:
    """The interpreter, and the environment it belongs to."""
    number, here = sys.version_info[:2], f"{platform.python_version()} in {sys.prefix}"
    if number < OLDEST:
        return Check("python", "fail", here, f"use Python {OLDEST[0]}.{OLDEST[1]} or newer")
    if number > NEWEST:
        return Check("python", "warn", here, f"tested up to {NEWEST[0]}.{NEWEST[1]}")
    return Check("python", "ok", here)


def check_packages() -> list[Check]:
    """Every package of the work against the versions the tests run with."""
    tested: dict[str, str] = json.loads(TESTED_FILE.read_text())
    return [_package(name, wanted) for name, wanted in tested.items()]


def _package(name: str, tested: str) -> Check:
    label = f"package {name}"
    try:
        found = version(name)
    except PackageNotFoundError:
        return Check(label, "fail", "not installed", f"pip install {name}=={tested}")
    if _line(found) == _line(tested):
        return Check(label, "ok", found)
    return Check(
        label, "warn", f"{found}; tested with {tested}", f"if something fails: pip install {name}=={tested}"
    )


def _line(text: str) -> tuple[str, ...]:
    """Major and minor number: patches of a release line are taken to behave alike."""
    return tuple(text.partition("+")[0].split(".")[:2])


def check_flash_attention() -> Check:
    """Whether FlashAttention 2 can be imported; what it means that it cannot."""
    if importlib.util.find_spec("flash_attn") is not None:
        return Check("flash attention", "ok", "flash_attn is installed: packing without padding, longer rows")
    return Check(
        "flash attention",
        "skip",
        "not installed: torch's own attention (sdpa) is used, a little slower on long rows; packed rows are kept "
        "apart by a mask",
    )


def check_host_memory() -> Check:
    """Memory of the host: merging and loading need the model there once."""
    import psutil

    memory = psutil.virtual_memory()
    text = f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB available"
    if memory.available < 4 << 30:
        return Check("host memory", "warn", text, "merging an 8B model needs 16 GiB; close other programs")
    return Check("host memory", "ok", text)
