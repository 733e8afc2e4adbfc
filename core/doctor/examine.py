"""The whole examination, in the order a person reads it."""

from __future__ import annotations

import time
from collections.abc import Iterator

from core.doctor.check import Check
from core.doctor.environment import check_flash_attention, check_host_memory, check_packages, check_python
from core.doctor.hardware import check_devices
from core.doctor.live import STEPS
from core.doctor.network import check_hub, check_token
from core.doctor.storage import check_shared_memory, check_storage
from core.workshop import Failure, Progress, Result, Workshop
from core.workspace import Workspace

LIVE_SECONDS = 300.0  # a cold start of torch from a slow disk takes minutes


def examine(workspace: Workspace, *, live: bool = True) -> Iterator[Check]:
    """Every check as it ends. The live steps run in a child process; nothing heavy is imported here."""
    yield check_python()
    yield from check_packages()
    yield from check_devices()
    yield check_host_memory()
    yield check_shared_memory()
    yield from check_storage(workspace)
    yield check_flash_attention()
    yield check_hub()
    yield check_token()
    if live:
        yield from try_out_elsewhere()


def try_out_elsewhere(
    seconds: float = LIVE_SECONDS, job: str = "core.doctor.live:try_out"
) -> Iterator[Check]:
    """The live steps. A child that dies or hangs is a failed check, not the end of the doctor."""
    workshop, deadline = Workshop(), time.monotonic() + seconds
    workshop.submit(job)
    told = 0
    try:
        while time.monotonic() < deadline:
            for message in workshop.poll(0.2):
                if isinstance(message, Progress):
                    told += 1
                    yield message.value
                elif isinstance(message, Failure):
                    yield Check("live", "fail", message.what, "the end of the workshop's log tells more")
                    return
                elif isinstance(message, Result):
                    workshop.close()
                    return
        yield Check("live", "fail", f"no end after {seconds:.0f} s, {told} of {len(STEPS) + 2} steps done",
                    "look at what else uses the device")  # fmt: skip
    finally:
        workshop.cancel()
