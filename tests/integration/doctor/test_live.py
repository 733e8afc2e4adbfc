"""The live steps on this machine, through the command line."""

from __future__ import annotations

import json
from typing import Any

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


@pytest.mark.slow
def test_the_training_step_runs_through_4_bit_layers() -> None:
    from core.doctor import live
    from core.models.four_bit import four_bit_layers

    bench: dict[str, Any] = {}
    assert live._load(bench).endswith("its 35 linear layers in 4 bit")
    live._answer(bench)
    live._train(bench)
    assert len(four_bit_layers(bench["tuned"])) == 35
    # What stands before a 4-bit layer learns only if the gradient came back through it.
    learned = {
        name: float(weight.detach().abs().max())
        for name, weight in bench["tuned"].named_parameters()
        if "up_proj.lora_B" in name
    }
    assert len(learned) == 5 and min(learned.values()) > 1e-3


def test_a_processor_without_4_bit_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from core.doctor import live

    if torch.cuda.is_available():
        pytest.skip("a GPU must have it")

    def broken() -> None:
        raise ImportError("no library for this processor")

    monkeypatch.setattr(live, "_demo_in_4_bit", broken)
    bench: dict[str, Any] = {}
    assert live._load(bench) == (
        "the demo in float32: bitsandbytes has no 4 bit on this processor (ImportError: no library for this processor)"
    )
    assert "said" in live._answer(bench)


def test_without_the_live_steps_it_is_quick_and_light(capsys: pytest.CaptureFixture[str]) -> None:
    from tests.tui.test_cli import HEAVY, modules_after

    assert call("doctor", "--no-live") in (0, 4)
    assert "python" in capsys.readouterr().out
    assert modules_after("doctor", "--no-live").isdisjoint({*HEAVY, "textual"})
