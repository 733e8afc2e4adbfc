"""NVIDIA's management library, read so that nothing it does can reach the screen as an error.

Every field may be missing (None). Functions an old driver lacks are remembered and not asked again. The
memory reading prefers the second form of the struct, in which `used` leaves out what the driver reserves.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

WSL_LIBRARY = "/usr/lib/wsl/lib/libnvidia-ml.so.1"
# Sizes above this are a driver's way of saying "not available" (2^64 - 1 and its neighbours).
ABSURD_BYTES = 1 << 60


@dataclass(frozen=True, slots=True)
class Process:
    """A process on a GPU. `name` is "" where the pid is that of another namespace (a container)."""

    pid: int
    used_bytes: int | None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """One GPU or MIG instance at one moment. None is "not available", never zero."""

    index: int
    uuid: str = ""
    name: str = "NVIDIA GPU"
    total_bytes: int | None = None
    used_bytes: int | None = None
    free_bytes: int | None = None
    reserved_bytes: int | None = None
    memory_form: str = ""  # "v2", or "v1" where used includes what the driver reserves
    utilisation: int | None = None  # per cent of time a kernel ran
    temperature: int | None = None  # degrees Celsius
    power_watts: float | None = None
    power_limit_watts: float | None = None
    processes: tuple[Process, ...] | None = None
    mig_of: str = ""  # UUID of the card this is an instance of
    notes: tuple[str, ...] = ()
    lost: bool = False


class Lost(Exception):
    """The driver says that this card is gone."""


class Nvml:
    """One opened library. `problem` says in words why there is none; it never raises."""

    def __init__(self) -> None:
        self.problem = ""
        self.driver = ""
        self.missing: set[str] = set()
        self._library: ModuleType | None = None
        self._slow: dict[str, Reading] = {}
        self._last_processes: dict[str, tuple[Process, ...] | None] = {}

    def open(self) -> bool:
        """Load and initialise. False leaves the reason in `problem`; calling again tries again."""
        if self._library is not None:
            return True
        try:
            import pynvml
        except ImportError:
            self.problem = "the package nvidia-ml-py is not installed"
            return False
        if not hasattr(pynvml, "nvmlDeviceGetMemoryInfo") or not hasattr(pynvml, "nvmlMemory_v2"):
            self.problem = "another package named pynvml hides nvidia-ml-py; pip uninstall pynvml, then install nvidia-ml-py"
            return False
        try:
            self._init(pynvml)
        except pynvml.NVMLError as error:
            self.problem = _in_words(pynvml, error)
            return False
        self.problem, self._library = "", pynvml
        self.driver = str(self._ask("nvmlSystemGetDriverVersion") or "")
        return True

    def close(self) -> None:
        if self._library is not None:
            with contextlib.suppress(Exception):
                self._library.nvmlShutdown()
            self._library = None

    def readings(self, *, slow: bool = True, processes: bool = True) -> tuple[Reading, ...]:
        """Every card, and every MIG instance in place of its card. `slow` re-reads names, power and heat."""
        if not self.open():
            return ()
        try:
            count = self._ask("nvmlDeviceGetCount") or 0
        except Lost:
            self.close()
            return ()
        found: list[Reading] = []
        for index in range(count):
            found += self._card(index, slow, processes)
        if any(reading.lost for reading in found):
            self.close()  # a stale handle stays stale; the next reading starts afresh
        return tuple(found)

    def _init(self, pynvml: ModuleType) -> None:
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError_LibraryNotFound:
            if not Path(WSL_LIBRARY).exists():
                raise
            ctypes.CDLL(WSL_LIBRARY)
            pynvml.nvmlInit()

    def _card(self, index: int, slow: bool, processes: bool) -> list[Reading]:
        key = str(index)
        try:
            handle = self._ask("nvmlDeviceGetHandleByIndex", index)
            if handle is None:
                return [Reading(index, notes=("no permission to open this card",))]
            instances = self._instances(handle)
            if not instances:
                return [self._one(index, handle, slow, processes, "", key)]
            card = str(self._ask("nvmlDeviceGetUUID", handle) or "")
            return [
                self._one(index, instance, slow, processes, card or key, f"{key}.{number}")
                for number, instance in enumerate(instances)
            ]
        except Lost:
            before = self._slow.get(key, Reading(index))
            return [
                replace(
                    before, total_bytes=None, used_bytes=None, free_bytes=None, reserved_bytes=None, lost=True,
                    utilisation=None, temperature=None, power_watts=None, processes=None,
                    notes=("the driver lost this card; a reboot or a reset brings it back",),
                )
            ]  # fmt: skip

    def _one(self, index: int, handle: Any, slow: bool, processes: bool, mig_of: str, key: str) -> Reading:
        before = self._slow.get(key)
        if before is None or slow:
            before = self._described(index, handle, mig_of)
            self._slow[key] = before
        reading = self._memory(before, handle)
        if processes:
            self._last_processes[key] = self._processes(handle, reading.total_bytes or ABSURD_BYTES)
        return replace(reading, processes=self._last_processes.get(key))

    def _described(self, index: int, handle: Any, mig_of: str) -> Reading:
        """What changes slowly or never."""
        notes = []
        if self._ask("nvmlDeviceGetVirtualizationMode", handle) in (2, 3):  # 1 passes a whole card through
            notes.append("a virtual GPU: others may share this card unseen")
        power = self._ask("nvmlDeviceGetPowerUsage", handle)
        limit = self._ask("nvmlDeviceGetEnforcedPowerLimit", handle)
        rates = None if mig_of else self._ask("nvmlDeviceGetUtilizationRates", handle)
        return Reading(
            index,
            uuid=str(self._ask("nvmlDeviceGetUUID", handle) or ""),
            name=str(self._ask("nvmlDeviceGetName", handle) or "NVIDIA GPU"),
            utilisation=None if rates is None else int(rates.gpu),
            temperature=self._ask("nvmlDeviceGetTemperature", handle, 0),
            power_watts=None if power is None else power / 1000,
            power_limit_watts=None if limit is None else limit / 1000,
            mig_of=mig_of,
            notes=tuple(notes),
        )

    def _memory(self, reading: Reading, handle: Any) -> Reading:
        assert self._library is not None
        form, memory = "v2", self._ask("nvmlDeviceGetMemoryInfo", handle, self._library.nvmlMemory_v2)
        if memory is None:
            form, memory = "v1", self._ask("nvmlDeviceGetMemoryInfo", handle)
        if memory is None or not 0 < memory.total < ABSURD_BYTES:
            return reading
        used = memory.used if memory.used <= memory.total else None
        return replace(
            reading,
            total_bytes=int(memory.total),
            used_bytes=used,
            free_bytes=int(memory.free) if memory.free <= memory.total else None,
            reserved_bytes=int(memory.reserved) if form == "v2" else None,
            memory_form=form,
            notes=reading.notes
            if form == "v2"
            else (*reading.notes, "this driver counts its own reserve as used"),
        )

    def _processes(self, handle: Any, most: int) -> tuple[Process, ...] | None:
        """Processes with memory on the card. A driver that mixes the struct forms gives sizes no card has."""
        found = self._ask("nvmlDeviceGetComputeRunningProcesses_v3", handle)
        if found is None:
            found = self._ask("nvmlDeviceGetComputeRunningProcesses_v2", handle)
        if found is None:
            return None
        return tuple(
            Process(
                int(one.pid),
                None if one.usedGpuMemory is None or one.usedGpuMemory > most else int(one.usedGpuMemory),
                _name_of(int(one.pid)),
            )
            for one in found
        )

    def _instances(self, handle: Any) -> list[Any]:
        """Handles of a card's MIG instances; empty where MIG is off."""
        mode = self._ask("nvmlDeviceGetMigMode", handle)
        if not mode or mode[0] != 1:
            return []
        count = self._ask("nvmlDeviceGetMaxMigDeviceCount", handle) or 0
        handles = [
            self._ask("nvmlDeviceGetMigDeviceHandleByIndex", handle, number) for number in range(count)
        ]
        return [one for one in handles if one is not None]

    def _ask(self, function: str, *arguments: Any) -> Any:
        """The value of one call; None if it is not available. Raises Lost for a card that is gone."""
        library = self._library
        if library is None:
            return None
        key = f"{function}/{len(arguments)}"
        if key in self.missing:
            return None
        try:
            return getattr(library, function)(*arguments)
        except library.NVMLError_GpuIsLost as error:
            raise Lost from error
        except library.NVMLError_FunctionNotFound:
            self.missing.add(key)
            return None
        except (library.NVMLError, AttributeError, OSError, ValueError, UnicodeDecodeError):
            return None


def _in_words(pynvml: ModuleType, error: Exception) -> str:
    """Why the library could not be opened, and what helps."""
    words = {
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no NVIDIA GPU is visible here (no libnvidia-ml.so.1)",
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is not loaded; load its module or reboot",
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
            "the NVIDIA driver and its library differ in version; reboot or reload the module"
        ),
        pynvml.NVML_ERROR_NO_PERMISSION: "no permission to read the NVIDIA driver",
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: "the NVIDIA library on this machine is too old or no NVIDIA library",
    }
    return words.get(getattr(error, "value", None), f"the NVIDIA driver answers: {error}")


def _name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def visible(readings: tuple[Reading, ...], variable: str | None = None) -> tuple[Reading, ...]:
    """The GPUs a process would see, in its order: CUDA_VISIBLE_DEVICES as numbers, UUIDs or their beginnings.

    CUDA stops at the first entry it does not know, and an empty value hides every card.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES") if variable is None else variable
    if chosen is None:
        return readings
    found: list[Reading] = []
    for entry in (part.strip() for part in chosen.split(",")):
        if entry.isdigit():
            matches = [reading for reading in readings if reading.index == int(entry)][:1]
        else:
            matches = [reading for reading in readings if entry and reading.uuid.startswith(entry)]
        if len(matches) != 1:
            break
        found += matches
    return tuple(found)
