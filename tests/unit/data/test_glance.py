"""Rows in brief, and rows that hold a text, as a list on the screen asks for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.data.glance import Glance, find, glances, row
from core.recipe import Recipe, with_changes

ROWS: list[Any] = [
    {"messages": [{"role": "user", "content": "Say:\n  The cat."}, {"role": "assistant", "content": "Cat."}]},
    {"messages": [{"role": "user", "content": "Again?"}]},
    {"ask": "a"},
    {"text": "Plain \\ text with a Cat."},
    {"messages": [{"role": "user", "content": "x" * 500}, {"role": "assistant", "content": "The deep CAT."}]},
]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(item) + "\n" for item in ROWS))
    return tmp_path


def recipe(**data: Any) -> Recipe:
    return with_changes(
        Recipe(), {"data.source": "a.jsonl"} | {f"data.{key}": value for key, value in data.items()}
    )


def test_rows_in_brief(workspace: Path) -> None:
    listed = glances(recipe(), [0, 2, 3, 99, -1], workspace)
    assert (listed.total, listed.whole, [item.number for item in listed.rows]) == (5, True, [0, 2, 3])
    first, unread, plain = listed.rows
    shown = row(recipe(), 0, workspace)
    assert first == Glance(0, "Say: The cat.", len(shown.tokens), len(shown.tokens), shown.trained)
    assert (unread.tokens, unread.problem) == (0, "no known shape; the columns are ask")
    assert plain.words == "Plain \\ text with a Cat." and plain.trained == plain.tokens


def test_words_are_cut_and_counts_are_of_what_is_kept(workspace: Path) -> None:
    (long,) = glances(recipe(max_length=20), [4], workspace).rows
    assert long.words == "x" * 80 and long.kept == 20 < long.tokens and long.trained == 0


@pytest.mark.parametrize(("pattern", "rows"), [("cat", [0, 3, 4]), ("CAT.", [0, 3, 4]), ("\\ text", [3]), ("say:\n  the", [0]), ("assistant", []), ("none", [])])  # fmt: skip
def test_rows_that_hold_a_text(workspace: Path, pattern: str, rows: list[int]) -> None:
    found = find(recipe(), pattern, workspace)
    if pattern == "assistant":
        rows = [0, 4]  # role names are texts of the record too
    assert (found.pattern, found.rows.tolist()) == (pattern, rows)
