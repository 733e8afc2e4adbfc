"""The demo's grammar, data files and tokenizer: always the same, and held-out means held out."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from core.demo import grammar, paths, rows, talk
from core.demo.grammar import Sentence
from core.errors import UsageError
from core.recipe import read_recipe
from core.workspace import embedded


@pytest.mark.parametrize(
    ("subject", "verb", "rest", "plain", "yoda"),
    [
        ("the cat", "sees", "a red ball", "The cat sees a red ball.", "A red ball, the cat sees."),
        ("I", "saw", "her", "I saw her.", "Her, I saw."),
        ("Anna", "will sleep", "under the tree", "Anna will sleep under the tree.", "Under the tree, Anna will sleep."),
        ("she", "needs", "Ben near the mill", "She needs Ben near the mill.", "Ben near the mill, she needs."),
    ],
)  # fmt: skip
def test_yoda_order_moves_the_rest_to_the_front(
    subject: str, verb: str, rest: str, plain: str, yoda: str
) -> None:
    sentence = Sentence(subject, verb, rest, question="")
    assert (sentence.plain, sentence.yoda) == (plain, yoda)


def test_the_same_seed_says_the_same() -> None:
    assert [grammar.any_sentence(Random(5)).plain for _ in range(3)] == [
        grammar.any_sentence(Random(5)).plain for _ in range(3)
    ]
    first, second = Random(6), Random(6)
    assert [talk.conversation(first) for _ in range(50)] == [talk.conversation(second) for _ in range(50)]


def test_about_one_sentence_in_sixteen_is_held_out() -> None:
    rng = Random(0)
    held_out = sum(grammar.is_held_out(grammar.any_sentence(rng)) for _ in range(4000))
    assert 190 <= held_out <= 310


def test_committed_data_is_what_the_script_writes() -> None:
    for name, content in rows.data_files().items():
        assert (paths.DATA / name).read_text(encoding="utf-8") == content, name


def test_held_out_sentences_are_in_no_training_row() -> None:
    train = paths.YODA.read_text(encoding="utf-8")
    answers = [json.loads(line)["messages"][-1]["content"] for line in _lines(paths.HELD_OUT)]
    plain = [json.loads(line)["messages"][-1]["content"] for line in _lines(paths.REPEAT_HELD_OUT)]
    assert len(set(answers)) == len(set(plain)) == 100
    assert not any(text in train for text in [*answers, *plain])


def test_training_draws_only_known_sentences() -> None:
    rng = Random(1)
    assert not any(grammar.is_held_out(grammar.known_sentence(rng)) for _ in range(500))
    assert all(grammar.is_held_out(grammar.held_out_sentence(rng)) for _ in range(20))


def test_both_held_out_files_ask_the_same() -> None:
    for yoda, plain in zip(_lines(paths.HELD_OUT), _lines(paths.REPEAT_HELD_OUT), strict=True):
        assert json.loads(yoda)["messages"][:-1] == json.loads(plain)["messages"][:-1]


def test_every_training_sentence_is_told_once() -> None:
    answers = [
        message["content"]
        for line in _lines(paths.YODA)
        for message in json.loads(line)["messages"]
        if message["role"] == "assistant"
    ]
    assert len(_lines(paths.YODA)) == 700
    assert len(answers) == len(set(answers))


def test_the_troubled_file_names_its_troubles() -> None:
    troubles, unreadable = [], []
    for line in _lines(paths.TROUBLED):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            unreadable.append(line)
            continue
        if isinstance(row, dict):
            troubles.append(row["trouble"])
    assert len(unreadable) == 1
    assert troubles.count("") == 6
    assert troubles.count("duplicate") == 2
    assert len({trouble for trouble in troubles if trouble}) >= 38


def test_embedded_data_is_named_by_demo_slash() -> None:
    assert embedded("demo/yoda.jsonl") == paths.YODA
    assert embedded("yoda.jsonl") is None
    assert embedded("./demo/yoda.jsonl") is None
    with pytest.raises(UsageError, match="no such data file") as error:
        embedded("demo/jedi.jsonl")
    assert "troubled.jsonl" in error.value.fix


def test_the_demo_recipe_is_valid() -> None:
    recipe = read_recipe(paths.RECIPE)
    assert (recipe.model.source, recipe.data.source, recipe.alpha) == ("demo", "demo/yoda.jsonl", 32)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()
