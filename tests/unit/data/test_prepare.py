"""Preparation of a small set with the embedded tokenizer: what is written is what is shown."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.data.prepare import prepare, read_prepared
from core.data.saved import open_saved
from core.data.tokenizer import load_tokenizer
from core.data.view import show_row
from core.errors import TunedeckError, UsageError
from core.recipe import Recipe, parse_recipe, recipe_text, with_changes
from core.workshop import Progress, Workshop
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


def test_the_second_look_loads_no_tokenizer(recipe: Recipe, tmp_path: Path) -> None:
    prepare(recipe, EMBEDDED_MODEL, tmp_path / "out")
    script = (
        "import sys; from pathlib import Path; from core.recipe import parse_recipe\n"
        "from core.data.prepare import prepare; from core.workspace import EMBEDDED_MODEL\n"
        f"recipe = parse_recipe({recipe_text(recipe)!r})\n"
        "assert prepare(recipe, EMBEDDED_MODEL, None).cached\n"
        "assert not {'torch', 'transformers', 'trl', 'datasets'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_another_max_length_or_changed_rows_are_prepared_again(recipe: Recipe, tmp_path: Path) -> None:
    first = prepare(recipe, EMBEDDED_MODEL, None)
    shorter = prepare(with_changes(recipe, {"data.max_length": 32}), EMBEDDED_MODEL, None)
    assert not shorter.cached
    assert shorter.longest == 32
    with Path(recipe.data.source).open("a") as file:
        chat = [{"role": "user", "content": "More"}, {"role": "assistant", "content": "Yes"}]
        file.write("\n" + json.dumps({"messages": chat}))
    again = prepare(recipe, EMBEDDED_MODEL, None)
    assert not again.cached
    assert again.examples == first.examples + 1


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


def test_a_tokenizer_without_the_rust_library(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It says no places: prompts can be told from completions, turns cannot, and that is said."""
    monkeypatch.setitem(load_tokenizer(EMBEDDED_MODEL).__dict__, "backend", None)
    source = tmp_path / "pairs.jsonl"
    source.write_text(json.dumps({"prompt": "One, two,", "completion": " three."}))
    pairs = parse_recipe(f'[data]\nsource = "{source}"\neval_fraction = 0.0')
    prepared = prepare(pairs, EMBEDDED_MODEL, tmp_path / "out", cache=False)
    assert prepared.engine == "transformers"
    assert 0 < prepared.trained_tokens < prepared.tokens
    with pytest.raises(TunedeckError, match="which characters a token covers"):
        prepare(recipe, EMBEDDED_MODEL, tmp_path / "chats", cache=False)


def test_a_disagreement_of_the_fast_engine_is_not_trained(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """If gigatoken gives other ids midway, the set is prepared again with the exact engine."""
    from core.data import encoders, gigatoken_encoder

    def disagrees(*_arguments: object, **_options: object) -> None:
        raise gigatoken_encoder.Disagreement

    monkeypatch.setattr(encoders, "WORTH_LOADING_CHARACTERS", 0)
    assert prepare(recipe, EMBEDDED_MODEL, tmp_path / "fast", cache=False).engine == "gigatoken"
    monkeypatch.setattr(gigatoken_encoder.GigatokenEncoder, "encode", disagrees)
    prepared = prepare(recipe, EMBEDDED_MODEL, tmp_path / "exact", cache=False)
    assert prepared.engine == "tokenizers"
    assert open_saved(tmp_path / "fast" / "train") == open_saved(tmp_path / "exact" / "train")


def test_a_row_whose_answers_cannot_be_found_is_not_trained(tmp_path: Path) -> None:
    """A template that rewrites what it prints: no token of such a row carries loss, and that is said."""
    (tmp_path / "upper.jinja").write_text(
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | upper | replace('A', 'xx') }}"
        "{{ messages | length }}<|im_end|>\n{% endfor %}"
    )
    chat = [{"role": "user", "content": "hay"}, {"role": "assistant", "content": "way"}]
    (tmp_path / "rows.jsonl").write_text(json.dumps({"messages": chat}))
    recipe = parse_recipe(
        f'[data]\nsource = "{tmp_path}/rows.jsonl"\ntemplate = "{tmp_path}/upper.jinja"\n'
        'loss_on = "assistant"\neval_fraction = 0.0'
    )
    row = show_row(recipe, EMBEDDED_MODEL, 0)
    assert (
        row.problem == "the template rewrites this row's content, so its answers cannot be found in the text"
    )
    assert set(row.labels) == {-100}
    with pytest.raises(TunedeckError, match=r"none of the 1 rows can be trained.*not-aligned, first: row 0"):
        prepare(recipe, EMBEDDED_MODEL, tmp_path / "out", cache=False)


def test_a_cancelled_preparation_leaves_no_half_written_set(tmp_path: Path) -> None:
    chat = {"messages": [{"role": "user", "content": "Say it."}, {"role": "assistant", "content": "It."}]}
    (tmp_path / "rows.jsonl").write_text((json.dumps(chat) + "\n") * 100_000)
    recipe = parse_recipe(f'[data]\nsource = "{tmp_path}/rows.jsonl"\neval_fraction = 0.0')
    out, workshop = tmp_path / "out", Workshop()
    workshop.submit(
        "core.data.prepare:prepare", recipe=recipe, model_folder=EMBEDDED_MODEL, out=out, cache=False
    )
    while not any(isinstance(message, Progress) for message in workshop.poll(0.5)):
        pass
    workshop.cancel()
    assert not (out / "train").exists() and not (out / "report.json").exists()
    (tmp_path / "rows.jsonl").write_text(json.dumps(chat) + "\n")
    assert prepare(recipe, EMBEDDED_MODEL, out, cache=False).examples == 1
    assert sorted(path.name for path in out.iterdir()) == ["report.json", "train"]
