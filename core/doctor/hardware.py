"""GPUs as NVML sees them. What torch makes of them is tried in `core.doctor.live`."""

from __future__ import annotations

from core.doctor.check import Check
from core.memory.devices import Device, read_devices


def check_devices() -> list[Check]:
    """One line per GPU; one line that says why there is none."""
    devices = read_devices()
    gpus = [one for one in devices if one.kind != "host"]
    if gpus:
        return [_gpu(one) for one in gpus]
    host = next((one for one in devices if one.kind == "host"), None)
    why = "; ".join(host.notes) if host is not None and host.notes else "no GPU is visible"
    return [
        Check("gpu", "warn", f"{why}: training runs on the processor", "fine for the demo and for planning")
    ]


def _gpu(device: Device) -> Check:
    name = f"gpu {device.index}" if device.index is not None else "gpu"
    if device.lost:
        return Check(name, "fail", f"{device.name} does not answer", "restart the machine or the driver")
    if device.kind != "cuda":
        return Check(name, "warn", f"{device.name}: tunedeck trains on NVIDIA GPUs and on processors")
    text = device.name
    if device.total_bytes is not None and device.free_bytes is not None:
        text += f", {device.free_bytes / 2**30:.1f} of {device.total_bytes / 2**30:.1f} GiB free"
    if not device.visible:
        return Check(name, "warn", f"{text}; hidden by CUDA_VISIBLE_DEVICES", "unset it to use this one")
    if device.processes:
        return Check(
            name, "warn", f"{text}; {len(device.processes)} other processes use it", "see tunedeck gpus"
        )
    return Check(name, "ok", text)
