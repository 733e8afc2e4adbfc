"""A run's events as curves and figures; hostile values included."""

from __future__ import annotations

import math

import pytest

from core.runs.record import Curve, Record


def test_steps_become_curves_and_latest_figures() -> None:
    record = Record()
    record.add(
        [
            {"kind": "environment", "steps": 40, "planned_peak_bytes": 100},
            {"kind": "status", "state": "running", "note": ""},
            {"kind": "step", "step": 1, "loss": 2.0, "learning_rate": 1e-4, "tokens_per_second": 10},
            {"kind": "step", "step": 2, "loss": 1.0, "grad_norm": 0.5},
            {"kind": "eval", "step": 2, "eval_loss": 1.5},
        ]
    )
    assert list(record.curves["loss"].steps) == [1, 2] and list(record.curves["loss"].values) == [2.0, 1.0]
    assert list(record.curves["grad_norm"].steps) == [2]
    assert list(record.curves["eval_loss"].values) == [1.5]
    assert (record.step, record.steps, record.planned_peak_bytes, record.status) == (2, 40, 100, "running")
    assert record.last["tokens_per_second"] == 10


def test_a_status_after_the_end_means_the_run_goes_on() -> None:
    record = Record()
    record.add([{"kind": "end", "state": "stopped"}])
    assert record.end["state"] == "stopped"
    record.add([{"kind": "status", "state": "running"}])
    assert record.end == {}


def test_hostile_values_neither_break_nor_vanish() -> None:
    record = Record()
    record.add(
        [
            {"kind": "step"},
            {"kind": "step", "step": "x", "loss": None},
            {"kind": "step", "step": 1, "loss": math.nan, "steps": math.inf},
            {"kind": "step", "step": 9, "steps": 0, "loss": math.inf},
            {"kind": "nonsense"},
        ]
    )
    assert len(record.curves["loss"].values) == 2
    assert math.isnan(record.curves["loss"].values[0])
    assert (record.step, record.steps) == (9, 0)


def test_notes_are_bounded() -> None:
    record = Record()
    record.add({"kind": "warning", "what": str(number)} for number in range(1000))
    assert len(record.notes) == 200 and record.notes[-1]["what"] == "999"


def test_smoothing_has_no_bias_at_the_start_and_skips_nan() -> None:
    def smoothed(values: list[float], weight: float) -> list[float]:
        curve = Curve(weight)
        for step, value in enumerate(values):
            curve.add(step, value)
        return list(curve.smoothed)

    assert smoothed([3.0, 3.0, 3.0], 0.9) == pytest.approx([3.0, 3.0, 3.0])
    # two values, weight 0.5: (0.25 a + 0.5 b) / 0.75
    assert smoothed([1.0, 4.0], 0.5)[1] == pytest.approx(3.0)
    result = smoothed([1.0, math.nan, 1.0], 0.9)
    assert math.isnan(result[1]) and result[2] == pytest.approx(1.0)


def test_resuming_forgets_what_is_done_again() -> None:
    record = Record()
    record.add({"kind": "step", "step": step, "loss": 1.0} for step in (1, 2, 3))
    record.add([{"kind": "status", "state": "starting", "step": 1}, {"kind": "step", "step": 2, "loss": 0.5}])
    assert list(record.curves["loss"].steps) == [1, 2]
    assert list(record.curves["loss"].values) == [1.0, 0.5]


def test_the_end_knows_the_last_step_better_than_the_last_logged_one() -> None:
    record = Record()
    record.add([{"kind": "step", "step": 130, "steps": 132}, {"kind": "end", "state": "done", "step": 132}])
    assert record.step == 132


def test_time_between_an_end_and_a_resumption_is_not_lived() -> None:
    record = Record()
    record.add(
        [
            {"kind": "status", "state": "starting", "time": 100.0},
            {"kind": "step", "step": 1, "time": 130.0},
            {"kind": "end", "state": "stopped", "time": 131.0},
            {"kind": "status", "state": "starting", "time": 5000.0},
            {"kind": "step", "step": 2, "time": 5010.0},
            {"kind": "step", "step": 3, "time": 5009.0},
        ]
    )
    assert record.lived_seconds == 41.0 and record.first_time == 100.0
