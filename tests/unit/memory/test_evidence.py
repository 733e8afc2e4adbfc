"""Plan beside measurement, and what is learnt from it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.memory.calibration import Taught, calibrated, calibration_file, forget, learn, read_calibration
from core.memory.plan import plan
from core.memory.verdict import Room
from core.recipe import Recipe, parse_recipe
from core.runs.evidence import Measured, earlier_speed, history, versus
from core.workspace import Workspace
from tests.unit.memory.shapes import LLAMA_3_8B, architecture

MIB, GIB = 1 << 20, 1 << 30


def write_run(workspace: Path, name: str, plan: dict[str, Any], summary: dict[str, Any]) -> None:
    folder = workspace / "runs" / name
    folder.mkdir(parents=True)
    (folder / "recipe.toml").touch()
    (folder / "run.json").write_text(json.dumps({"id": name}))
    (folder / "plan.json").write_text(json.dumps(plan))
    (folder / "summary.json").write_text(json.dumps(summary))


def test_runs_with_plan_and_measurement_are_listed_with_their_error(tmp_path: Path) -> None:
    planned = {"peak_allocated_bytes": 21 * GIB, "peak_phase": "block", "device": "card", "others_bytes": GIB}
    measured = {
        "peak_allocated_bytes": 20 * GIB, "peak_reserved_bytes": 22 * GIB, "device_used_bytes": 24 * GIB,
        "peak_rss_bytes": 5 * GIB,
    }  # fmt: skip
    write_run(tmp_path, "20260101-000000-a", planned, measured)
    host = {
        "peak_allocated_bytes": 100 * MIB,
        "outside_bytes": 600 * MIB,
        "device": "host",
        "peak_phase": "loss",
    }
    write_run(
        tmp_path, "20260102-000000-b", host, {"peak_allocated_bytes": None, "peak_rss_bytes": 680 * MIB}
    )
    write_run(tmp_path, "20260103-000000-c", host, {})
    first, second = history(Workspace(tmp_path))
    assert (first.kind, first.outside_bytes) == ("cuda", GIB)
    assert first.error == pytest.approx(0.05)
    assert (second.kind, second.planned_bytes, second.measured_bytes) == ("cpu", 700 * MIB, 680 * MIB)
    assert second.outside_bytes == 580 * MIB


def test_every_phase_of_a_run_stands_beside_its_plan(tmp_path: Path) -> None:
    planned = {
        "peak_allocated_bytes": 20 * GIB, "peak_phase": "block", "device": "card", "others_bytes": GIB, "outside_bytes": GIB,
        "phases": {
            "load": {"weights": 10 * GIB}, "loss": {"weights": 10 * GIB, "loss": 5 * GIB}, "block": {"weights": 20 * GIB},
            "end_bwd": {"weights": 12 * GIB}, "step": {"weights": 11 * GIB}, "eval": {},
        },
    }  # fmt: skip
    phases: dict[str, dict[str, int | None]] = {
        name: {
            "peak_allocated_bytes": peak * GIB, "reserved_bytes": (peak + 1) * GIB,
            "device_used_bytes": (peak + 2) * GIB + beside * MIB + GIB, "peak_rss_bytes": 5 * GIB,
        }
        for name, peak, beside in (("load", 10, 100), ("forward", 15, 400), ("backward", 16, 500), ("optimizer", 11, 450))
    }  # fmt: skip
    rows = versus(planned, phases)
    assert [(row["phase"], row["planned_bytes"] // GIB, row["measured_bytes"] // GIB) for row in rows] == [
        ("load", 10, 10), ("forward and backward", 20, 16), ("optimizer", 11, 11),
    ]  # fmt: skip
    assert [(row["meter"], row["error"]) for row in rows][1] == ("allocated", 0.25)
    measured = {"peak_allocated_bytes": 16 * GIB, "peak_reserved_bytes": 20 * GIB, "phases": phases}
    write_run(tmp_path, "20260101-000000-a", planned, measured)
    (one,) = history(Workspace(tmp_path))
    assert one.outside_bytes == GIB + 500 * MIB  # at the fullest phase, without the others' 1 GiB
    assert one.taught.reserve_share == 0.25
    on_a_host = {name: {**values, "peak_allocated_bytes": None} for name, values in phases.items()}
    assert versus(planned, on_a_host)[0] == {
        "phase": "load", "planned_bytes": 11 * GIB, "measured_bytes": 5 * GIB, "meter": "resident", "error": 11 / 5 - 1,
    }  # fmt: skip
    assert versus({}, phases) == versus(planned, {}) == []


def test_the_median_is_learnt_shown_used_and_removed(tmp_path: Path) -> None:
    assert not forget()
    found = learn(
        Taught("card", run, outside, share)
        for run, outside, share in [
            ("a", 700 * MIB, 0.2), ("b", 500 * MIB, 0.1), ("c", 900 * MIB, None), ("d", 9 * GIB, 7.0), ("e", None, 0.3),
        ]
    )  # fmt: skip
    assert found["card"].context_bytes == 700 * MIB
    assert found["card"].reserve_share == 0.2
    assert found["card"].runs == ("a", "b", "c", "e")  # 9 GiB is no context: something else ran there
    room = calibrated(Room("cuda", "card", 80 * GIB, 79 * GIB))
    assert room.context == 700 * MIB
    made = plan(Recipe(), architecture(LLAMA_3_8B), room=room)
    assert (made.outside_bytes, made.outside[0].formula) == (700 * MIB, "measured here")
    peak, beside = made.peak_allocated_bytes, GIB + 700 * MIB  # others and this process
    assert made.nvidia_smi_bytes == (round(peak * 1.1) + beside, round(peak * 1.3) + beside)
    assert (
        made.verdict
        == plan(Recipe(), architecture(LLAMA_3_8B), room=replace(room, reserve_share=None)).verdict
    )
    assert calibrated(Room("cuda", "another")).context is None
    assert forget()
    assert read_calibration() == {}


def test_a_damaged_file_is_as_none() -> None:
    calibration_file().parent.mkdir(parents=True)
    calibration_file().write_text('{"card": 3}')
    assert read_calibration() == {}


def test_time_rests_on_the_newest_run_of_the_same_kind(tmp_path: Path) -> None:
    plan_file = {"peak_allocated_bytes": GIB, "device": "card"}
    write_run(tmp_path, "20260101-000000-a", plan_file, {})
    folder = tmp_path / "runs" / "20260101-000000-a"
    (folder / "recipe.toml").write_text('[model]\nsource = "owner/model"\n')
    event = {"kind": "step", "time": 1.0, "step": 3, "tokens_per_second": 812.0}
    (folder / "events.jsonl").write_text(json.dumps(event) + "\n")
    same = parse_recipe("", ['model.source="owner/model"', "tuner.rank=64"])
    found = earlier_speed(Workspace(tmp_path), same, "card")
    assert found == Measured(812.0, "20260101-000000-a")
    assert earlier_speed(Workspace(tmp_path), same, "another card") is None
    assert earlier_speed(Workspace(tmp_path), parse_recipe("", ["tuner.method=full"]), "card") is None
