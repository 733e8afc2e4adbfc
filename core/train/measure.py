"""What this process uses: memory of the accelerator, of the host, and names of devices."""

from __future__ import annotations

import resource
import sys
from typing import Any

import torch


def memory() -> dict[str, int | None]:
    """Bytes by torch's own accounting (None without an accelerator), and the peak of this process on the host."""
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


def peaks() -> dict[str, int | None]:
    """Only the two peaks of `memory`."""
    now = memory()
    return {key: now[key] for key in ("peak_allocated_bytes", "peak_rss_bytes")}


def of_the_run() -> dict[str, int | None]:
    """The peaks of the run so far, and what the device holds now: what a plan is compared with."""
    now = memory()
    return {**peaks(), **{key: now[key] for key in ("peak_reserved_bytes", "device_used_bytes")}}


def _device_used() -> int:
    """Bytes in use on the whole device, other processes included; the reading nvidia-smi shows."""
    free, total = torch.cuda.mem_get_info()
    return int(total - free)


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
