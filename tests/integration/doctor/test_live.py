"""The live steps on this machine, through the command line."""

from __future__ import annotations

import json

import pytest

from tests.tui.test_cli import call

LIVE = [
    "live: load",
    "live: answer",
    "live: training step",
    "live: write checkpoint",
    "live: read checkpoint",
]


@pytest.mark.slow
def test_every_live_step_works_here(capsys: pytest.CaptureFixture[str]) -> None:
    code = call("doctor", "--json")
    found = {one["check"]: one for one in json.loads(capsys.readouterr().out)}
    assert {name: found[name]["state"] for name in LIVE} == dict.fromkeys(LIVE, "ok")
    assert found["torch"]["state"] == found["bitsandbytes"]["state"] == "ok"
    assert set(found["python"]) == {"check", "state", "evidence", "fix"}
    assert code == (4 if any(one["state"] == "fail" for one in found.values()) else 0)


def test_without_the_live_steps_it_is_quick_and_light(capsys: pytest.CaptureFixture[str]) -> None:
    from tests.tui.test_cli import HEAVY, modules_after

    assert call("doctor", "--no-live") in (0, 4)
    assert "python" in capsys.readouterr().out
    assert modules_after("doctor", "--no-live").isdisjoint({*HEAVY, "textual"})
