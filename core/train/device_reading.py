"""The driver's own reading of this process's GPU, for step events: what nvidia-smi would show."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch

from core.memory.nvml import Nvml, Reading

# Every question to the driver can hold up a kernel launch for a moment; memory and load change slowly.
EVERY_SECONDS = 10.0
NOTHING: dict[str, float | int | None] = dict.fromkeys(
    ("nvml_used_bytes", "utilisation", "power_watts", "temperature")
)


@dataclass
class DeviceReading:
    """`read` asks the driver at most every ten seconds and repeats the last answer in between."""

    nvml: Nvml = field(default_factory=Nvml)
    last: dict[str, float | int | None] = field(default_factory=lambda: dict(NOTHING))
    _next_seconds: float = 0.0

    def read(self) -> dict[str, float | int | None]:
        """`nvml_used_bytes` of the whole device, `utilisation` in per cent, `power_watts`, `temperature` in Celsius.

        None for what the driver does not tell; all None without a GPU.
        """
        now = time.monotonic()
        if now >= self._next_seconds and torch.cuda.is_available() and torch.cuda.is_initialized():
            self._next_seconds = now + EVERY_SECONDS
            self.last = _figures(self._own())
        return self.last

    def _own(self) -> Reading | None:
        """The reading of the device of this process. torch and NVML share its UUID, not its number."""
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        uuid = str(getattr(properties, "uuid", ""))
        readings = self.nvml.readings(slow=True, processes=False) if uuid else ()
        return next((reading for reading in readings if reading.uuid.endswith(uuid)), None)


def _figures(reading: Reading | None) -> dict[str, float | int | None]:
    if reading is None or reading.lost:
        return dict(NOTHING)
    return {
        "nvml_used_bytes": reading.used_bytes,
        "utilisation": reading.utilisation,
        "power_watts": reading.power_watts,
        "temperature": reading.temperature,
    }
