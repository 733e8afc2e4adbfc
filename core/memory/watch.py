"""Live readings for a screen: a thread reads, the screen looks at the last result and its age."""

from __future__ import annotations

import threading
import time

from core.memory.devices import Device, read_devices
from core.memory.nvml import Nvml

MEMORY_SECONDS = 1.0  # memory, at every turn
PROCESSES_TURNS = 2  # processes, every second turn
SLOW_TURNS = 5  # names, power, heat


class DeviceWatcher:
    """`devices` is empty until the first reading is in. A driver that hangs only makes the reading old."""

    def __init__(self, *, processes: bool = False) -> None:
        self._processes = processes
        self._latest: tuple[Device, ...] = ()
        self._read_at = 0.0
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def devices(self) -> tuple[Device, ...]:
        return self._latest

    @property
    def age_seconds(self) -> float | None:
        """How old the reading is; None before the first."""
        return time.monotonic() - self._read_at if self._read_at else None

    def start(self) -> None:
        """Begin to read; a second call while reading does nothing."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._stopped.clear()
        self._thread = threading.Thread(target=self._read, name="tunedeck-devices", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end. It is not waited for: the driver may be what hangs."""
        self._stopped.set()

    def _read(self) -> None:
        library, turn = Nvml(), 0
        while not self._stopped.is_set():
            processes = self._processes and turn % PROCESSES_TURNS == 0
            self._latest = read_devices(library, slow=turn % SLOW_TURNS == 0, processes=processes)
            self._read_at = time.monotonic()
            turn += 1
            self._stopped.wait(MEMORY_SECONDS)
        library.close()
