"""A check that was made before is read again; whatever decides it makes a new one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.data import check as room
from core.data import encoders
from core.data.check import CheckReport, check
from core.recipe import Recipe, with_changes

DEMO = Path(__file__).resolve().parents[3] / "core" / "demo" / "model"


def row(number: int) -> str:
    turns = [
        {"role": "user", "content": f"Say {number}."},
        {"role": "assistant", "content": f"{number}, it is."},
    ]
    return json.dumps({"messages": turns}) + "\n"


@pytest.fixture
def checked(tmp_path: Path) -> Any:
    (tmp_path / "a.jsonl").write_text(row(0) + row(1) + row(1) + "broken\n")
    base = with_changes(Recipe(), {"data.source": "a.jsonl"})
    return lambda **changes: check(with_changes(base, {f"data.{k}": v for k, v in changes.items()}), DEMO, workspace=tmp_path)  # fmt: skip


def same(one: CheckReport, other: CheckReport) -> bool:
    ours, theirs = one.to_json(Recipe()), other.to_json(Recipe())
    for document in (ours, theirs):
        del document["seconds"], document["cached"]
    return ours == theirs and json.dumps(ours) == json.dumps(theirs)


def test_a_second_look_loads_no_tokenizer(checked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = checked()
    assert not first.cached and {finding.code for finding in first.findings} >= {
        "duplicate-row",
        "unreadable-row",
    }
    monkeypatch.setattr(room, "load_tokenizer", None)
    again = checked()
    assert again.cached and same(first, again)
    assert (again.lengths.tokens == first.lengths.tokens).all() and (
        again.lengths.runs == first.lengths.runs
    ).all()


def test_what_decides_a_check_makes_a_new_one(checked: Any, tmp_path: Path) -> None:
    assert not checked().cached
    assert not checked(max_length=20).cached and not checked(loss_on="last").cached
    assert not checked(packing="wrapped").cached
    (tmp_path / "a.jsonl").write_text(row(0) + row(2))
    fresh = checked()
    assert not fresh.cached and fresh.rows == 2
    (tmp_path / "t.jinja").write_text((DEMO / "chat_template.jinja").read_text())
    assert not checked(template="t.jinja").cached and checked(template="t.jinja").cached
    (tmp_path / "t.jinja").write_text("{{ 'Listen. ' }}" + (DEMO / "chat_template.jinja").read_text())
    assert not checked(template="t.jinja").cached
    (tmp_path / "e.jsonl").write_text(row(0))
    leak = checked(eval_source="e.jsonl")
    assert not leak.cached and "eval-leak" in {finding.code for finding in leak.findings}


def test_a_damaged_report_is_made_again(
    checked: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first = checked()
    (kept,) = (tmp_path / "cache").rglob("checked/*/report.json")
    kept.write_text(kept.read_text()[:40])
    again = checked()
    assert not again.cached and same(first, again)


def test_the_faster_encoder_finds_the_same(checked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = checked()
    monkeypatch.setattr(encoders, "WORTH_LOADING_CHARACTERS", 0)
    monkeypatch.setattr(room, "report_place", lambda *_: None)
    fast = checked()
    assert (exact.engine, fast.engine) == ("tokenizers", "gigatoken")
    ours, theirs = exact.to_json(Recipe()), fast.to_json(Recipe())
    assert ours["findings"] == theirs["findings"] and ours["cut"] == theirs["cut"]
