"""The meter of a run's phases, on the host's memory."""

from __future__ import annotations

import numpy as np
import pytest

from core.train.measure import CLEAR, METER, PhaseMeter, memory

MIB = 1 << 20


def hold(mebibytes: int) -> None:
    np.ones(mebibytes * MIB, dtype=np.uint8)  # written, so resident; gone when this returns


def test_every_phase_keeps_its_own_peak_and_the_run_the_largest() -> None:
    by_phase = can_set_back()  # also what this process held before
    meter = PhaseMeter()
    meter.enter("load")
    hold(256)
    meter.enter("forward")
    meter.enter("backward")
    hold(64)
    meter.leave("optimizer")  # not under way: nothing happens
    assert meter.phase == "backward"
    meter.leave("backward")
    meter.leave()
    load, forward, backward = (meter.found[name] for name in ("load", "forward", "backward"))
    assert load["peak_allocated_bytes"] is None  # no GPU was touched
    peaks = [one["peak_rss_bytes"] or 0 for one in (load, forward, backward)]
    assert meter.largest["peak_rss_bytes"] == max(peaks) == peaks[0]
    if not by_phase:
        pytest.skip("the kernel does not let a process set its peak back")
    assert peaks[0] - peaks[1] > 200 * MIB
    assert peaks[2] - peaks[1] > 50 * MIB


def can_set_back() -> bool:
    try:
        CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def test_a_peak_before_a_phase_is_not_lost_to_the_run() -> None:
    METER.begin()
    hold(256)
    before = memory()["peak_rss_bytes"]
    METER.enter("forward")
    METER.leave()
    assert before is not None and (memory()["peak_rss_bytes"] or 0) >= before
    METER.begin()


def test_only_the_first_steps_and_larger_batches_are_measured() -> None:
    meter = PhaseMeter()
    seen = [
        meter.worth_measuring(step, tokens) for step, tokens in ((0, 50), (1, 40), (2, 50), (3, 51), (4, 51))
    ]
    assert seen == [True, True, False, True, False]
