"""Dollars from hours: the recipe's own price first, else that of the cards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.recipe import Recipe, recipe_text, with_changes
from core.runs.cost import cost, price_per_hour
from core.runs.folder import Run


def run_with(tmp_path: Path, changes: dict, device: str) -> Run:
    run = Run(tmp_path)
    run.recipe.write_text(recipe_text(with_changes(Recipe(), changes)))
    run.plan.write_text(json.dumps({"device": device}))
    return run


def test_the_recipes_price_is_that_of_the_whole_machine(tmp_path: Path) -> None:
    run = run_with(
        tmp_path,
        {"plan.price_per_hour": 20.0, "launch.strategy": "ddp", "launch.processes": 8},
        "NVIDIA H200",
    )
    assert price_per_hour(run) == 20.0


def test_else_every_card_costs_what_the_table_says(tmp_path: Path) -> None:
    changes = {"launch.strategy": "ddp", "launch.processes": 4}
    assert price_per_hour(run_with(tmp_path, changes, "NVIDIA H200")) == 4 * 3.5
    assert price_per_hour(run_with(tmp_path, {}, "x86_64 host, 2 cores")) is None
    assert price_per_hour(Run(tmp_path / "nowhere")) is None


def test_cost() -> None:
    assert cost(3.5, 1800) == pytest.approx(1.75)
    assert cost(None, 1800) is None and cost(3.5, None) is None
