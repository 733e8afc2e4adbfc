"""What memory this machine has: NVIDIA GPUs, others that can only be named, and the host.

for device in read_devices(): ...
room = room_for(recipe, read_devices())
"""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.errors import MissingError
from core.memory.nvml import Nvml, Process, Reading, visible
from core.memory.smi import read_smi
from core.memory.verdict import Room
from core.recipe import Recipe

Kind = Literal["cuda", "host", "amd", "apple"]


@dataclass(frozen=True, slots=True)
class Device:
    """One place memory can be taken from. None is "not available". `visible`: a run here would see it."""

    kind: Kind
    name: str
    index: int | None = None
    uuid: str = ""
    total_bytes: int | None = None
    used_bytes: int | None = None
    free_bytes: int | None = None
    reserved_bytes: int | None = None
    utilisation: int | None = None
    temperature: int | None = None
    power_watts: float | None = None
    power_limit_watts: float | None = None
    processes: tuple[Process, ...] | None = None
    mig_of: str = ""
    visible: bool = True
    lost: bool = False
    notes: tuple[str, ...] = ()
    read_at: float = 0.0  # seconds of time.monotonic()
    cuda_index: int | None = None  # its number inside a process, after CUDA_VISIBLE_DEVICES

    def to_json(self) -> dict[str, Any]:
        found = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "read_at"}
        found["notes"] = list(self.notes)
        found["processes"] = (
            None
            if self.processes is None
            else [{"pid": one.pid, "used_bytes": one.used_bytes, "name": one.name} for one in self.processes]
        )
        return found


def read_devices(
    library: Nvml | None = None, *, slow: bool = True, processes: bool = True
) -> tuple[Device, ...]:
    """Every device, GPUs first, the host last. Never raises; what cannot be read is None and says why."""
    opened = library or Nvml()
    readings = opened.readings(slow=slow, processes=processes)
    if not readings and opened.problem:
        readings = read_smi()
    order = {id(reading): position for position, reading in enumerate(visible(readings))}
    gpus = tuple(_gpu(reading, order.get(id(reading))) for reading in readings)
    if library is None:
        opened.close()
    return (*gpus, *_others(), _host(_why_no_gpu(gpus, opened.problem)))


def room_for(recipe: Recipe, devices: tuple[Device, ...]) -> Room:
    """The room of the fullest device that the recipe would run on; of the host where there is no GPU.

    Raises MissingError if the recipe names a GPU that is not here.
    """
    return min(rooms_for(recipe, devices), key=lambda room: room.available or 0)


def rooms_for(recipe: Recipe, devices: tuple[Device, ...]) -> tuple[Room, ...]:
    """The room of every device that the recipe would run on, in the order of its processes.

    Raises MissingError if the recipe names a GPU that is not here.
    """
    chosen = recipe.launch.devices
    host = next((device for device in devices if device.kind == "host"), None)
    gpus = [device for device in devices if device.kind == "cuda" and device.visible]
    gpus.sort(key=lambda device: device.cuda_index or 0)
    if chosen == "cpu" or (not gpus and chosen == "auto"):
        return (_room(host) if host is not None else Room("cpu"),)
    if isinstance(chosen, list):
        found = [_named(entry, devices) for entry in chosen]
    else:
        found = gpus[: recipe.launch.processes]
    return tuple(_room(device) for device in found)


def _named(entry: int | str, devices: tuple[Device, ...]) -> Device:
    for device in devices:
        if device.kind == "cuda" and (
            entry == device.index or (entry and device.uuid.startswith(str(entry)))
        ):
            return device
    raise MissingError(
        f"GPU {entry} of launch.devices is not here", fix="see what is here with: tunedeck gpus"
    )


def _room(device: Device) -> Room:
    available = device.free_bytes
    if available is None and device.total_bytes is not None and device.used_bytes is not None:
        available = device.total_bytes - device.used_bytes
    kind: Literal["cuda", "cpu"] = "cpu" if device.kind == "host" else "cuda"
    label = "host" if device.index is None else f"GPU {device.index}"
    return Room(kind, device.name, device.total_bytes, available, label=label)


def _gpu(reading: Reading, cuda_index: int | None) -> Device:
    total, used, free, notes = reading.total_bytes, reading.used_bytes, reading.free_bytes, reading.notes
    if total is None and not reading.lost and reading.index >= 0 and not notes:
        # Boards with one memory for CPU and GPU report no memory of their own.
        memory = _virtual_memory()
        if memory is not None:
            total, free = memory
            used, notes = total - free, ("memory is shared with the host",)
    return Device(
        "cuda", reading.name, reading.index, reading.uuid, total, used, free, reading.reserved_bytes,
        reading.utilisation, reading.temperature, reading.power_watts, reading.power_limit_watts,
        reading.processes, reading.mig_of, cuda_index is not None, reading.lost, notes, time.monotonic(), cuda_index,
    )  # fmt: skip


def _host(note: str) -> Device:
    name = f"{platform.machine()} host, {os.cpu_count() or 1} cores"
    memory = _virtual_memory()
    if memory is None:
        return Device("host", name, notes=("memory cannot be read",), read_at=time.monotonic())
    total, free = memory
    notes = (note,) if note else ()
    return Device(
        "host", name, total_bytes=total, used_bytes=total - free, free_bytes=free, notes=notes, read_at=time.monotonic()
    )  # fmt: skip


def _virtual_memory() -> tuple[int, int] | None:
    """(total, available) of the host, within the limit of a container where there is one."""
    import psutil

    try:
        memory = psutil.virtual_memory()
    except (OSError, RuntimeError):
        return None
    limit, used = _container_limit()
    if limit is not None and limit < memory.total:
        return limit, max(min(limit - used, memory.available), 0)
    return memory.total, memory.available


def _container_limit() -> tuple[int | None, int]:
    """(limit, used without cache) of this control group; None if it has none."""
    root = Path("/sys/fs/cgroup")
    try:
        text = (root / "memory.max").read_text(encoding="ascii").strip()
        if text == "max":
            return None, 0
        used = int((root / "memory.current").read_text(encoding="ascii"))
        stat = dict(line.split() for line in (root / "memory.stat").read_text(encoding="ascii").splitlines())
        return int(text), max(used - int(stat.get("inactive_file", 0)), 0)
    except (OSError, ValueError):
        return None, 0


def _others() -> tuple[Device, ...]:
    """GPUs of other makers: recognised and named, their memory is not read here."""
    note = ("live readings work on NVIDIA GPUs only; tunedeck plans against --memory here",)
    if Path("/dev/kfd").exists():
        return (Device("amd", "AMD GPU (ROCm)", notes=note, read_at=time.monotonic()),)
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return (Device("apple", "Apple GPU", notes=note, read_at=time.monotonic()),)
    return ()


def _why_no_gpu(gpus: tuple[Device, ...], problem: str) -> str:
    if gpus:
        return "" if any(device.visible for device in gpus) else "CUDA_VISIBLE_DEVICES hides every GPU"
    return problem
