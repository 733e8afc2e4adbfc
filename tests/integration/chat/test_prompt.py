"""The prompt of the chat equals, id for id, what the training put before the answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from core.chat.prompt import chat_prompt, plain_prompt
from core.chat.questions import questions, read_rows
from core.chat.stops import turn_end_id
from core.data.prepare import prepare
from core.demo import paths
from core.errors import TunedeckError
from core.recipe import Recipe, with_changes


def test_chat_prompts_equal_the_prepared_rows_up_to_the_answer(tmp_path: Path) -> None:
    recipe = with_changes(
        Recipe(), {"data.source": str(paths.HELD_OUT), "data.eval_fraction": 0.0, "data.max_length": 256}
    )
    prepared = prepare(recipe, paths.MODEL, tmp_path / "data")
    tokenizer = AutoTokenizer.from_pretrained(paths.MODEL)
    conversations = [json.loads(line)["messages"] for line in paths.HELD_OUT.read_text().splitlines()]
    asked = questions(read_rows(prepared.folder))
    assert len(asked) == len(conversations) == 100
    for question in asked:
        *turns, answer = conversations[question.row]
        prompt = chat_prompt(tokenizer, turns)
        assert prompt.ids == question.prompt_ids
        assert prompt.warnings == ()
        assert tokenizer.decode(question.expected_ids) == answer["content"] + "<|im_end|>"


def test_the_demos_turn_end_is_a_stop() -> None:
    tokenizer = AutoTokenizer.from_pretrained(paths.MODEL)
    assert turn_end_id(tokenizer) == tokenizer.convert_tokens_to_ids("<|im_end|>")


def test_a_template_that_refuses_is_one_clear_error() -> None:
    tokenizer = AutoTokenizer.from_pretrained(paths.MODEL)
    tokenizer.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(TunedeckError, match="refuses this conversation: roles must alternate"):
        chat_prompt(tokenizer, [{"role": "user", "content": "Hi"}])
    assert turn_end_id(tokenizer) is None


def test_real_templates_agree_with_their_training_rendering(shared_data: Path) -> None:
    """Over every real tokenizer at hand: no warning, or the difference is one the template truly makes."""
    differing = {}
    for folder in sorted((shared_data / "tokenizers").iterdir()):
        if not (folder / "tokenizer_config.json").is_file():
            continue
        tokenizer = AutoTokenizer.from_pretrained(folder)
        if not tokenizer.chat_template:
            continue
        prompt = chat_prompt(tokenizer, [{"role": "user", "content": "Hi there"}])
        answered = tokenizer.apply_chat_template(
            [{"role": "user", "content": "Hi there"}, {"role": "assistant", "content": "Yes."}],
            tokenize=False,
        )
        same = answered.startswith(prompt.text)
        assert same == (prompt.warnings == ()), folder.name
        if not same:
            differing[folder.name] = prompt.warnings[0]
    for warning in differing.values():
        assert "is not what the training put before an answer" in warning


def test_a_plain_prompt_does_not_end_itself() -> None:
    tokenizer = AutoTokenizer.from_pretrained(paths.MODEL)
    assert plain_prompt(tokenizer, "The cat").ids == tuple(tokenizer.encode("The cat"))
