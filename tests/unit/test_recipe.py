"""The recipe: defaults, errors with line and fix, and round trips that keep comments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import MissingError
from core.recipe import (
    Recipe,
    RecipeError,
    changed_text,
    known_keys,
    parse_recipe,
    read_recipe,
    recipe_text,
    require_here,
)
from tests.conftest import ROOT


def test_defaults_are_the_documented_ones() -> None:
    recipe = Recipe()
    assert (recipe.tuner.rank, recipe.alpha, recipe.tuner.dropout) == (16, 32, 0.05)
    assert (recipe.learning_rate, recipe.effective_batch) == (2e-4, 16)


def test_full_fine_tuning_has_its_own_learning_rate() -> None:
    assert parse_recipe('[tuner]\nmethod = "full"\n').learning_rate == 1e-5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[model]\nsorce = "x"\n', "recipe: line 2: unknown key model.sorce; did you mean model.source?"),
        ("\n[modle]\n", "recipe: line 2: unknown key modle; did you mean model?"),
        ("[data]\nrank = 3\n", "recipe: line 2: unknown key data.rank; it belongs to tuner.rank"),
        ('[tuner]\nrank = "a"\n', "recipe: line 2: tuner.rank = 'a': input should be a valid integer"),
        (
            '[model]\ndtype = "bf16"\n',
            "recipe: line 2: model.dtype = 'bf16' is not one of 'bfloat16', 'float16' or 'float32'; "
            'did you mean "bfloat16"?',
        ),
        (
            '[model]\nquantization = "int8"\n[tuner]\nmethod = "full"\n',
            "recipe: line 2: int8 weights cannot be trained, and method full trains weights; "
            'use tuner.method = "lora", or model.quantization = "none"',
        ),
        (
            "[tuner]\ntargets = 3\n",
            "recipe: line 2: tuner.targets = 3: input should be a valid string or a valid list",
        ),
        (
            '[evaluate]\nform = "xml"\n',
            'recipe: line 2: xml is not a form; use "json" or "re:PATTERN"',
        ),
        (
            '[evaluate]\nform = "re:("\n',
            "recipe: line 2: not a regular expression: missing ), unterminated subpattern at position 0; "
            'use "json" or "re:PATTERN"',
        ),
        ("model.sorce = 1\n", "recipe: line 1: unknown key model.sorce; did you mean model.source?"),
        (
            "model = 3\n",
            "recipe: line 1: model is a section; write [model] and its keys below",
        ),
        (
            '[data]\npacking = "wrapped"\nloss_on = "assistant"\n',
            "recipe: line 2: wrapped packing cuts rows anywhere, so answers lose their prompts under "
            'loss_on = "assistant"; use data.packing = "bfd", or data.loss_on = "all"',
        ),
    ],
)
def test_one_clear_error(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text)
    assert str(caught.value) == message


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe("[tuner]\nrank = 0\ndropout = 2.0\n")
    assert len(caught.value.problems) == 2


def test_a_missing_file_is_one_line() -> None:
    with pytest.raises(RecipeError, match=r"nowhere\.toml: no such recipe"):
        read_recipe("nowhere.toml")


def test_set_lays_values_over_the_file() -> None:
    recipe = parse_recipe("[tuner]\nrank = 4\n", ["tuner.rank=8", "model.source=gpt2", "training.epochs=2"])
    assert (recipe.tuner.rank, recipe.model.source, recipe.training.epochs) == (8, "gpt2", 2.0)


def test_changing_a_key_keeps_comments_and_order() -> None:
    text = '# mine\n[training]   # how\nlearning_rate = 1e-4 # low\n\n[model]\nsource = "demo"\n'
    changed = changed_text(text, {"training.learning_rate": 3e-4, "tuner.rank": 8})
    assert changed == (
        "# mine\n[training]   # how\nlearning_rate = 0.0003 # low\n\n"
        '[model]\nsource = "demo"\n\n[tuner]\nrank = 8\n'
    )
    assert parse_recipe(changed).learning_rate == 3e-4


def test_recipe_to_text_and_back_is_the_same_recipe() -> None:
    recipe = parse_recipe('[tuner]\nrank = 8\ntargets = ["q_proj"]\n[training]\nmax_steps = 3\n')
    assert parse_recipe(recipe_text(recipe)) == recipe


@pytest.mark.parametrize(
    ("sequences", "micro_batch", "accumulation", "epochs", "steps"),
    [(700, 16, 1, 3.0, 132), (700, 4, 4, 1.0, 44), (3, 4, 4, 2.0, 2), (17, 4, 4, 0.5, 1)],
)
def test_steps(sequences: int, micro_batch: int, accumulation: int, epochs: float, steps: int) -> None:
    recipe = parse_recipe(
        f"[training]\nmicro_batch = {micro_batch}\naccumulation = {accumulation}\nepochs = {epochs}\n"
    )
    assert recipe.steps(sequences) == steps


def test_a_package_that_is_not_here_is_told_when_work_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    text = '[model]\nquantization = "nf4"\n'
    recipe = parse_recipe(text)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingError) as caught:
        require_here(recipe, text, where="my.toml")
    assert str(caught.value) == (
        "my.toml: line 2: nf4 needs bitsandbytes, which is not installed here; "
        'pip install bitsandbytes, or use model.quantization = "none"'
    )
    assert caught.value.exit_code == 4


def test_every_key_has_its_line_in_the_documentation() -> None:
    page = (ROOT / "docs" / "recipe.md").read_text()
    assert [key for key in known_keys() if f"`{key.split('.', 1)[1]}`" not in page] == []


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        parse_recipe(text)
    except RecipeError as error:
        assert error.problems


def test_a_mistake_on_the_command_line_is_not_blamed_on_the_file() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe("[tuner]\nrank = 4\n", ["tuner.rank=abc"], where="my.toml")
    assert str(caught.value) == (
        "my.toml: --set tuner.rank=abc: tuner.rank = 'abc': input should be a valid integer"
    )
