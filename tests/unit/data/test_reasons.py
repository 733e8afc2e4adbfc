"""Why a token is trained or not, in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.data.view import show_row
from core.recipe import Recipe, with_changes

DEMO = Path(__file__).resolve().parents[3] / "core" / "demo" / "model"
HI, YES = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes."}
TURNS = {"messages": [HI, YES, HI, {"role": "assistant", "content": "No."}]}
FLAGGED = {"messages": [HI, {**YES, "train": False}, HI, YES]}


def reasons(tmp_path: Path, raw: Any, **data: Any) -> dict[tuple[int, str], str]:
    """The reason of the first token of every part of every message."""
    (tmp_path / "a.jsonl").write_text(json.dumps(raw) + "\n")
    recipe = with_changes(
        Recipe(), {"data.source": "a.jsonl"} | {f"data.{key}": value for key, value in data.items()}
    )
    found: dict[tuple[int, str], str] = {}
    for token in show_row(recipe, DEMO, 0, workspace=tmp_path).tokens:
        found.setdefault((token.message, token.part), token.reason)
    return found


@pytest.mark.parametrize(
    ("raw", "data", "place", "expected"),
    [
        (TURNS, {}, (0, "content"), "user message: not what the model produces"),
        (TURNS, {}, (1, "header"), "the generation prompt supplies it"),
        (TURNS, {}, (1, "content"), "the model must produce it: assistant turn, content"),
        (TURNS, {}, (1, "stop"), "the stop token of a trained turn"),
        (TURNS, {}, (1, "separator"), "after the stop token"),
        (TURNS, {"loss_on": "last"}, (1, "content"), 'an earlier answer: loss_on = "last"'),
        (TURNS, {"loss_on": "all"}, (0, "header"), "everything is trained"),
        (TURNS, {"loss_on": "roles", "roles": ["user"]}, (1, "content"), 'loss_on = "roles" does not name assistant'),
        (TURNS, {"loss_on": "roles", "roles": ["user"]}, (0, "content"), "the model must produce it: user text inside a trained span"),
        (FLAGGED, {"loss_on": "flags"}, (1, "content"), "the row's own flag or weight masks this turn"),
        (TURNS, {"loss_on": "completion"}, (0, "content"), "same as in the prompt alone"),
        (TURNS, {"loss_on": "completion"}, (3, "content"), "completion: from the first token that the prompt alone does not have"),
        ({"prompt": "One", "completion": " two."}, {}, (-1, "added eos"), "appended, so that the model learns to end"),
        ({"input_ids": [5, 6], "labels": [-100, 6]}, {}, (-1, "content"), "masked by the row's own labels"),
        (TURNS, {"max_length": 2}, (3, "content"), "cut off: past max_length 2"),
    ],
)  # fmt: skip
def test_reasons(
    tmp_path: Path, raw: Any, data: dict[str, Any], place: tuple[int, str], expected: str
) -> None:
    found = reasons(tmp_path, raw, **data)
    assert found.get(place) == expected, found


def test_a_row_that_is_not_trained_says_so_for_every_token(tmp_path: Path) -> None:
    found = reasons(tmp_path, TURNS, loss_on="response-template", response_template="never there")
    assert set(found.values()) == {"before the response template"}
