"""Numbers as a person reads them: bytes as GiB, seconds as time, counts with a unit letter, `–` for unknown."""

from __future__ import annotations

import math
from typing import Any

UNKNOWN = "–"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def gib(value: Any) -> str:
    """Bytes as MiB below 0.1 GiB, as GiB above."""
    if not _is_number(value) or not math.isfinite(value):
        return UNKNOWN
    if abs(value) < 0.1 * 2**30:
        return f"{value / 2**20:.0f} MiB"
    return f"{value / 2**30:.1f} GiB"


def count(value: Any) -> str:
    """1234 as `1.2k`, 3.4e6 as `3.4M`."""
    if not _is_number(value) or not math.isfinite(value):
        return UNKNOWN
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= 0.9995 * size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def duration(seconds: Any) -> str:
    """`7s`, `4m 12s`, `3h 05m`, `2d 4h`."""
    if not _is_number(seconds) or not math.isfinite(seconds) or seconds < 0:
        return UNKNOWN
    total = round(seconds)
    if total < 60:
        return f"{total}s"
    if total < 3600:
        return f"{total // 60}m {total % 60:02}s"
    if total < 48 * 3600:
        return f"{total // 3600}h {total % 3600 // 60:02}m"
    return f"{total // 86400}d {total % 86400 // 3600}h"


def figure(value: Any, digits: int = 4) -> str:
    """Losses, rates and norms: four significant digits; NaN and infinity by name."""
    if not _is_number(value):
        return UNKNOWN
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 10**digits:
        return f"{value:.{max(digits - 1 - math.floor(math.log10(abs(value))), 0)}f}"
    return f"{value:.{digits - 2}e}".replace("e-0", "e-").replace("e+0", "e")


def share(part: Any, whole: Any) -> str:
    """A per cent value, unknown without a whole."""
    if not _is_number(part) or not _is_number(whole) or not whole:
        return UNKNOWN
    return f"{100 * part / whole:.0f}%"


def dollars(value: Any) -> str:
    """`$0.42`, `$17.30`, `$1,204`."""
    if not _is_number(value) or not math.isfinite(value):
        return UNKNOWN
    return f"${value:,.2f}" if abs(value) < 1000 else f"${value:,.0f}"
