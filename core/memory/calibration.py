"""What runs on this machine taught, by device: memory that torch's allocator does not see, and its reserve.

Kept as one small file in tunedeck's cache; removing it (`tunedeck plan --forget`) brings the defaults back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from core.memory.verdict import Room
from core.workspace import cache_folder, write_json_atomically

NEWEST = 8  # runs a value rests on
LEAST_BYTES, MOST_BYTES = 64 << 20, 4 << 30  # what can be a context or a process
MOST_SHARE = 2.0  # an allocator that keeps three times what it gave out was measured in another way


@dataclass(frozen=True, slots=True)
class Taught:
    """What one finished run says of its device; None is "not measured".

    `reserve_share` is what the allocator kept beyond what tensors held at their peak, as a share of that peak.
    """

    device: str
    run: str
    outside_bytes: int | None
    reserve_share: float | None = None


@dataclass(frozen=True, slots=True)
class Learnt:
    """Bytes outside the allocator and its reserve on one device, and the runs they were measured in.

    0 bytes and None are "not learnt": the defaults hold.
    """

    device: str
    context_bytes: int
    runs: tuple[str, ...]
    reserve_share: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "context_bytes": self.context_bytes,
            "reserve_share": self.reserve_share,
            "runs": list(self.runs),
        }


def calibration_file() -> Path:
    return cache_folder() / "calibration.json"


def read_calibration() -> dict[str, Learnt]:
    """By device name; empty where nothing was learnt or the file is damaged."""
    try:
        values = json.loads(calibration_file().read_text(encoding="utf-8"))
        return {device: _learnt(device, one) for device, one in values.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _learnt(device: str, one: dict[str, Any]) -> Learnt:
    share = one.get("reserve_share")
    runs = tuple(map(str, one["runs"]))
    return Learnt(device, int(one["context_bytes"]), runs, None if share is None else float(share))


def learn(measured: Iterable[Taught]) -> dict[str, Learnt]:
    """Take what finished runs taught, newest last; the median by device is kept.

    Values that no context, process or allocator can have are left out: something else ran on the device.
    """
    by_device: dict[str, list[Taught]] = {}
    for one in measured:
        if one.device and (_is_context(one) or _is_reserve(one)):
            by_device.setdefault(one.device, []).append(one)
    found = read_calibration()
    for device, runs in by_device.items():
        newest = runs[-NEWEST:]
        contexts = [one.outside_bytes for one in newest if _is_context(one) and one.outside_bytes is not None]
        shares = [one.reserve_share for one in newest if _is_reserve(one) and one.reserve_share is not None]
        found[device] = Learnt(
            device,
            round(median(contexts)) if contexts else 0,
            tuple(one.run for one in newest),
            round(median(shares), 4) if shares else None,
        )
    if by_device:
        write_json_atomically(calibration_file(), {one.device: one.to_json() for one in found.values()})
    return found


def _is_context(one: Taught) -> bool:
    return one.outside_bytes is not None and LEAST_BYTES <= one.outside_bytes <= MOST_BYTES


def _is_reserve(one: Taught) -> bool:
    return one.reserve_share is not None and 0 <= one.reserve_share <= MOST_SHARE


def forget() -> bool:
    """Remove what was learnt; False if there was nothing."""
    try:
        calibration_file().unlink()
    except FileNotFoundError:
        return False
    return True


def calibrated(room: Room) -> Room:
    """The room with what was learnt of its device: its context, and the reserve of the expected reading."""
    learnt = read_calibration().get(room.name)
    if learnt is None:
        return room
    context = room.context if room.context is not None else learnt.context_bytes or None
    return replace(room, context=context, reserve_share=learnt.reserve_share)
