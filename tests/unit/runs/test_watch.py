"""Each watch rule fires on its own trouble, in words, once; a healthy run is left in peace."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from core.runs.watch import RULES, Watcher


def steps(
    count: int,
    loss: Callable[[int], float] = lambda step: 2.0 * math.exp(-step / 60) + 0.5 + 0.02 * math.sin(step * 7),
    **others: Callable[[int], Any],
) -> list[dict[str, Any]]:
    return [
        {
            "kind": "step",
            "step": step,
            "loss": loss(step),
            "grad_norm": 0.8 + 0.1 * math.sin(step),
            "trained_tokens": 100 * step,
            "tokens_per_second": 1000.0 + step % 7,
            "allocated_bytes": 2**30,
            **{name: value(step) for name, value in others.items()},
        }
        for step in range(1, count + 1)
    ]


def alarms(events: Iterable[dict[str, Any]]) -> list[tuple[str, str]]:
    watcher = Watcher()
    return [(alarm.rule, alarm.what) for event in events for alarm in watcher.see(event)]


def test_a_healthy_run_is_left_in_peace() -> None:
    assert alarms(steps(400)) == []


TROUBLES = [
    ("not finite", steps(30, lambda step: math.nan if step == 25 else 1.0 / step), "step 25"),
    ("loss flat", steps(80, lambda step: 2.0 + 0.001 * (step % 3)), "raise the learning rate"),
    (
        "loss rising",
        steps(120, lambda step: 1.0 - step / 100 if step < 60 else 0.4 + (step - 60) / 60),
        "lower",
    ),
    ("spike", steps(60, lambda step: 9.0 if step == 50 else 2.0 - step / 100), "9.000 at step 50"),
    ("gradient norm", steps(60, grad_norm=lambda step: 40.0 if step == 50 else 0.5), "usually 0.50"),
    (
        "throughput",
        steps(90, tokens_per_second=lambda step: 1000.0 if step < 50 else 300.0),
        "300 tokens/s now",
    ),
    ("memory creep", steps(120, allocated_bytes=lambda step: 2**30 + step * 2**23), "does not come back"),
    ("no trained tokens", steps(10, trained_tokens=lambda step: 100 * min(step, 6)), "up to step 7"),
]


@pytest.mark.parametrize(("rule", "events", "words"), TROUBLES, ids=[trouble[0] for trouble in TROUBLES])
def test_a_trouble_is_said_once(rule: str, events: list[dict[str, Any]], words: str) -> None:
    found = alarms(events)
    assert [name for name, _ in found].count(rule) == 1
    assert words in dict(found)[rule]


def test_over_fitting_is_eval_up_while_train_falls() -> None:
    watcher, found = Watcher(), []
    evals = {40: 1.6, 80: 1.4, 120: 1.5, 160: 1.62}
    for event in steps(160):
        found += watcher.see(event)
        if event["step"] in evals:
            found += watcher.see({"kind": "eval", "step": event["step"], "eval_loss": evals[event["step"]]})
    assert [alarm.rule for alarm in found] == ["over-fit"]
    assert "1.400 at step 80" in found[0].what


def test_a_rule_rings_again_after_it_was_calm() -> None:
    events = steps(200, grad_norm=lambda step: 50.0 if step in (60, 61, 120) else 0.5)
    assert [rule for rule, _ in alarms(events)] == ["gradient norm", "gradient norm"]


def test_every_rule_has_a_test() -> None:
    assert {rule for rule, _, _ in TROUBLES} | {"over-fit"} == set(RULES)
