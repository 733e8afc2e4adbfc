"""Preparation of a small set with the embedded tokenizer: what is written is what is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.data.prepare import prepare, read_prepared
from core.data.view import show_row
from core.errors import TunedeckError, UsageError
from core.recipe import Recipe, parse_recipe
from core.workspace import EMBEDDED_MODEL

CHATS = [
    [("user", "Repeat: He sees a dog."), ("assistant", "A dog, he sees.")],
    [
        ("system", "Be brief."),
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "Bye"),
        ("assistant", "Later"),
    ],
    [("user", "No answer")],
    [("user", "Long"), ("assistant", "word " * 200)],
]


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    source = tmp_path / "chats.jsonl"
    source.write_text(
        "\n".join(
            json.dumps({"messages": [{"role": role, "content": text} for role, text in chat]})
            for chat in CHATS
        )
    )
    return parse_recipe(f'[data]\nsource = "{source}"\nmax_length = 64\neval_fraction = 0.0')


def test_the_saved_folder_holds_what_is_shown(recipe: Recipe, tmp_path: Path) -> None:
    from datasets import load_from_disk

    prepared = prepare(recipe, EMBEDDED_MODEL, tmp_path / "out")
    saved = load_from_disk(str(prepared.folder))
    assert saved.column_names == ["input_ids", "labels", "row"]
    assert saved["row"][:] == [0, 1, 3]
    for row in saved:
        shown = show_row(recipe, EMBEDDED_MODEL, row["row"])
        assert row["input_ids"] == shown.input_ids
        assert row["labels"] == shown.labels
    assert prepared.examples == 3
    assert prepared.rows == 4
    assert prepared.tokens == sum(len(row["input_ids"]) for row in saved)
    assert prepared.longest == 64


def test_rows_left_out_and_cut_are_reported(recipe: Recipe, tmp_path: Path) -> None:
    prepared = prepare(recipe, EMBEDDED_MODEL, tmp_path / "out")
    found = {finding.code: finding for finding in prepared.findings}
    assert found["no-trained-token"].rows == (2,)
    assert found["cut-by-max-length"].rows == (3,)


def test_a_second_preparation_comes_from_the_cache(recipe: Recipe, tmp_path: Path) -> None:
    first = prepare(recipe, EMBEDDED_MODEL, tmp_path / "out")
    second = prepare(recipe, EMBEDDED_MODEL, tmp_path / "elsewhere")
    assert not first.cached
    assert second.cached
    assert second.digest == first.digest
    assert second.findings == first.findings
    assert read_prepared(tmp_path / "elsewhere").tokens == first.tokens


def test_nothing_to_train_on_is_one_clear_error(tmp_path: Path) -> None:
    source = tmp_path / "chats.jsonl"
    source.write_text(json.dumps({"messages": [{"role": "user", "content": "Hi"}]}))
    recipe = parse_recipe(f'[data]\nsource = "{source}"')
    with pytest.raises(TunedeckError, match="none of the 1 rows can be trained"):
        prepare(recipe, EMBEDDED_MODEL, tmp_path / "out")
    assert not (tmp_path / "out" / "train").exists()


def test_trained_text_is_the_answer_with_its_stop_token(recipe: Recipe) -> None:
    shown = show_row(recipe, EMBEDDED_MODEL, 1)
    trained = "".join(token.text for token in shown.tokens if token.label >= 0)
    assert trained == "Hello<|im_end|>Later<|im_end|>"
    assert "".join(token.text for token in shown.tokens) == shown.rendering.text


def test_a_row_number_beyond_the_source_is_a_usage_error(recipe: Recipe) -> None:
    with pytest.raises(UsageError, match="no row 4"):
        show_row(recipe, EMBEDDED_MODEL, 4)
