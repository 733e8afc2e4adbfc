"""Whether a peak fits a device: decided on torch's peak, never on nvidia-smi."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from core.errors import UsageError
from core.memory.figure import GB, GIB

Verdict = Literal["fits", "tight", "does not fit", "unknown"]

# Of 90 published single-GPU runs on an 80 GB card, all with a peak up to 0.93 of the room ran and all above
# 0.97 failed; the few between went both ways.
FITS_SHARE = 0.93
TIGHT_SHARE = 0.97


@dataclass(frozen=True, slots=True)
class Room:
    """The memory a run may use on one device. `available` is free now: total less what others hold.

    `available` None: nothing could be read and nothing was named, so the verdict is unknown.
    `context` is the measured size of a process outside the allocator, None until measured; `reserve_share` what the
    allocator was measured to keep beyond what it gave out. The reserve moves the expected reading, never the
    verdict: the allocator gives its blocks back before it fails.
    """

    device: Literal["cuda", "cpu"] = "cuda"
    name: str = ""
    total: int | None = None
    available: int | None = None
    context: int | None = None
    reserve_share: float | None = None
    label: str = ""  # "GPU 3", "host"; "" for a size that was named

    @property
    def others(self) -> int:
        if self.total is None or self.available is None:
            return 0
        return max(self.total - self.available, 0)


def verdict_of(peak: int, outside: int, available: int | None, reserve: int | None = None) -> Verdict:
    """`fits` up to 93 % of the room left beside the context, `tight` up to 97 %.

    An explicit `reserve` takes the place of the shares: fits with all of it left free, tight with half.
    """
    if available is None:
        return "unknown"
    room = available - outside
    if reserve is not None:
        return (
            "fits" if peak + reserve <= room else "tight" if peak + reserve // 2 <= room else "does not fit"
        )
    if peak <= FITS_SHARE * room:
        return "fits"
    return "tight" if peak <= TIGHT_SHARE * room else "does not fit"


def usable(outside: int, available: int | None, reserve: int | None = None) -> int | None:
    """The largest peak that still fits; negative by what is missing for the process alone."""
    if available is None:
        return None
    room = available - outside
    if reserve is not None:
        return room - reserve
    return int(FITS_SHARE * room) if room > 0 else room


def read_amount(text: str, *, where: str = "") -> int:
    """Bytes of `24GiB`, `80 GB`, `512MiB`; GB is 10^9 and GiB is 2^30. Raises UsageError."""
    units = {"GIB": GIB, "GB": GB, "MIB": 1 << 20, "MB": 10**6, "TIB": 1 << 40, "TB": 10**12, "B": 1}
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\s*", text)
    if not found or found.group(2).upper() not in units:
        raise UsageError(
            f"{text!r} is not an amount of memory",
            where=where,
            fix="write a number and a unit, for example 24GiB or 80GB",
        )
    return int(float(found.group(1)) * units[found.group(2).upper()])


def reserve_bytes(text: str) -> int | None:
    """The recipe's `plan.reserve`: None for "auto"."""
    return None if text == "auto" else read_amount(text, where="plan.reserve")
