"""Step events carry the driver's reading of the process's own device, asked for at most every ten seconds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from core.memory.nvml import Reading


class FakeNvml:
    """Two cards; the second one is ours, and is a little fuller each time it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def readings(self, **_: Any) -> tuple[Reading, ...]:
        self.asked += 1
        first = Reading(0, uuid="GPU-aaaa", used_bytes=1, utilisation=1, power_watts=1.0, temperature=1)
        ours = Reading(
            1, uuid="GPU-bbbb", used_bytes=7_000_000_000 + self.asked, utilisation=93, power_watts=250.5
        )
        return (first, ours)


def test_without_a_gpu_there_is_no_reading() -> None:
    from core.train.device_reading import NOTHING, DeviceReading

    nvml: Any = FakeNvml()
    assert DeviceReading(nvml).read() == NOTHING and nvml.asked == 0


def test_the_own_device_is_read_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from core.train import device_reading

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="bbbb"))
    clock = [100.0]
    monkeypatch.setattr(device_reading.time, "monotonic", lambda: clock[0])
    nvml: Any = FakeNvml()
    reading = device_reading.DeviceReading(nvml)
    expected = {
        "nvml_used_bytes": 7_000_000_001,
        "utilisation": 93,
        "power_watts": 250.5,
        "temperature": None,
    }
    assert reading.read() == expected
    clock[0] += 9.9
    assert reading.read() == expected and nvml.asked == 1
    clock[0] += 0.2
    assert reading.read()["nvml_used_bytes"] == 7_000_000_002
