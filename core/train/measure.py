"""What this process uses: memory of the accelerator, of the host, and names of devices.

torch keeps one peak and so does the kernel; both are read and set back whenever a phase begins or ends, and the
largest seen is kept here, so that a run knows the peak of every phase and of the whole.
"""

from __future__ import annotations

import contextlib
import resource
import sys
from functools import cache
from pathlib import Path
from typing import Any

import torch

from core.memory.nvml import Nvml

PHASES = ("load", "forward", "backward", "optimizer", "evaluation", "checkpoint")
PEAKS = ("peak_allocated_bytes", "peak_reserved_bytes", "peak_rss_bytes")
CLEAR = Path("/proc/self/clear_refs")  # Linux: "5" sets the peak of the resident size back to what it is now


class PhaseMeter:
    """Peaks by phase and of the run so far. `enter` ends the phase under way.

    `found` holds, by phase, the largest `peak_allocated_bytes` and `peak_reserved_bytes` of torch's allocator, the
    last `reserved_bytes` and `device_used_bytes` (the driver's reading of the whole device), all None without a GPU,
    and `peak_rss_bytes`, the resident size of this process.
    """

    def __init__(self) -> None:
        self.found: dict[str, dict[str, int | None]] = {}
        self.phase = ""
        self.largest: dict[str, int | None] = dict.fromkeys(PEAKS)
        self._most_tokens = 0

    def begin(self) -> None:
        """Forget an earlier run of this process."""
        self.__init__()  # type: ignore[misc]

    def worth_measuring(self, step: int, tokens: int) -> bool:
        """The first two steps, and every batch larger than all before: readings cost a little time."""
        if step >= 2 and tokens <= self._most_tokens:
            return False
        self._most_tokens = max(self._most_tokens, tokens)
        return True

    def enter(self, phase: str) -> None:
        self.leave()
        _set_back()
        self.phase = phase

    def leave(self, phase: str = "") -> None:
        """End the phase under way; with a name only that one."""
        if phase and phase != self.phase:
            return
        now = _now()
        if self.phase:
            now["device_used_bytes"] = _driver_reading()
            before = self.found.get(self.phase, {})
            self.found[self.phase] = {
                key: _larger(before.get(key), value) if key in PEAKS else value
                for key, value in now.items()
                if key != "allocated_bytes"
            }
        self.largest = {key: _larger(self.largest[key], now[key]) for key in PEAKS}
        self.phase = ""


METER = PhaseMeter()


def memory() -> dict[str, int | None]:
    """Bytes by torch's own accounting (None without an accelerator), and the peaks of the run so far."""
    now = _now()
    return now | {key: _larger(METER.largest[key], now[key]) for key in PEAKS}


def peaks() -> dict[str, int | None]:
    """Only the two peaks of `memory` that decide whether a run fits."""
    now = memory()
    return {key: now[key] for key in ("peak_allocated_bytes", "peak_rss_bytes")}


def of_the_run() -> dict[str, int | None]:
    """The peaks of the run so far, and what the device holds now: what a plan is compared with."""
    now = memory()
    return {**peaks(), **{key: now[key] for key in ("peak_reserved_bytes", "device_used_bytes")}}


def _now() -> dict[str, int | None]:
    on_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
    # ru_maxrss is in KiB on Linux, in bytes on macOS.
    peak_rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "allocated_bytes": torch.cuda.memory_allocated() if on_gpu else None,
        "reserved_bytes": torch.cuda.memory_reserved() if on_gpu else None,
        "peak_allocated_bytes": torch.cuda.max_memory_allocated() if on_gpu else None,
        "peak_reserved_bytes": torch.cuda.max_memory_reserved() if on_gpu else None,
        "device_used_bytes": _device_used() if on_gpu else None,
        "peak_rss_bytes": peak_rss,
    }


def _set_back() -> None:
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
    else:
        with contextlib.suppress(OSError):  # where it is not allowed, a phase shows the peak until its end
            CLEAR.write_text("5", encoding="ascii")


def _larger(one: int | None, other: int | None) -> int | None:
    return max((value for value in (one, other) if value is not None), default=None)


def _device_used() -> int:
    """Bytes in use on the whole device, other processes included."""
    free, total = torch.cuda.mem_get_info()
    return int(total - free)


def _driver_reading() -> int | None:
    """The same as NVML reads it and nvidia-smi shows it; torch's where NVML does not know this device (MIG)."""
    if not (torch.cuda.is_available() and torch.cuda.is_initialized()):
        return None
    uuid = str(getattr(torch.cuda.get_device_properties(torch.cuda.current_device()), "uuid", ""))
    for reading in _driver().readings(slow=False, processes=False):
        if uuid and reading.uuid.endswith(uuid) and reading.used_bytes is not None:
            return int(reading.used_bytes)
    return _device_used()


@cache
def _driver() -> Nvml:
    return Nvml()


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def trainable_dtypes(model: Any) -> dict[str, int]:
    """Trainable parameters by dtype: what the optimizer really updates."""
    found: dict[str, int] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            name = str(parameter.dtype).removeprefix("torch.")
            found[name] = found.get(name, 0) + parameter.numel()
    return found
