"""What runs on this machine taught: memory of a process that torch's allocator does not see, by device.

Kept as one small file in tunedeck's cache; removing it (`tunedeck plan --forget`) brings the defaults back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from core.memory.verdict import Room
from core.workspace import cache_folder, write_json_atomically

NEWEST = 8  # runs a value rests on
LEAST_BYTES, MOST_BYTES = 64 << 20, 4 << 30  # what can be a context or a process


@dataclass(frozen=True, slots=True)
class Learnt:
    """Bytes outside the allocator on one device, and the runs they were measured in."""

    device: str
    context_bytes: int
    runs: tuple[str, ...]


def calibration_file() -> Path:
    return cache_folder() / "calibration.json"


def read_calibration() -> dict[str, Learnt]:
    """By device name; empty where nothing was learnt or the file is damaged."""
    try:
        values = json.loads(calibration_file().read_text(encoding="utf-8"))
        return {
            device: Learnt(device, int(one["context_bytes"]), tuple(one["runs"]))
            for device, one in values.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def learn(measured: Iterable[tuple[str, str, int]]) -> dict[str, Learnt]:
    """Take (device, run, bytes outside) of finished runs, newest last; the median by device is kept.

    Values that no context or process can have are left out: something else ran on the device.
    """
    by_device: dict[str, list[tuple[str, int]]] = {}
    for device, run, outside in measured:
        if device and LEAST_BYTES <= outside <= MOST_BYTES:
            by_device.setdefault(device, []).append((run, outside))
    found = read_calibration()
    for device, runs in by_device.items():
        newest = runs[-NEWEST:]
        value = round(median(outside for _run, outside in newest))
        found[device] = Learnt(device, value, tuple(run for run, _outside in newest))
    if by_device:
        write_json_atomically(
            calibration_file(),
            {
                one.device: {"context_bytes": one.context_bytes, "runs": list(one.runs)}
                for one in found.values()
            },
        )
    return found


def forget() -> bool:
    """Remove what was learnt; False if there was nothing."""
    try:
        calibration_file().unlink()
    except FileNotFoundError:
        return False
    return True


def calibrated(room: Room) -> Room:
    """The room with the measured context of its device, if one was learnt."""
    learnt = read_calibration().get(room.name)
    return room if learnt is None or room.context is not None else replace(room, context=learnt.context_bytes)
