"""The demo's tokenizer and template: made by the script, ChatML, pad never eos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest

from core.demo import paths, tokens


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(paths.MODEL)


def test_the_committed_tokenizer_is_what_the_script_trains(tmp_path: Path) -> None:
    tokens.build_tokenizer(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (tmp_path / name).read_bytes() == (paths.MODEL / name).read_bytes(), name


def test_special_tokens(tokenizer: Any) -> None:
    assert len(tokenizer) == 1024
    assert (tokenizer.bos_token, tokenizer.pad_token, tokenizer.eos_token) == (
        "<|endoftext|>",
        "<|pad|>",
        "<|im_end|>",
    )
    assert tokenizer.convert_tokens_to_ids(list(tokens.SPECIAL)) == [0, 1, 2, 3]


def test_the_template_is_chatml_without_generation_markers(tokenizer: Any) -> None:
    conversation = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Say: The cat sleeps."},
        {"role": "assistant", "content": "The cat sleeps."},
    ]
    assert tokenizer.apply_chat_template(conversation, tokenize=False) == (
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nSay: The cat sleeps.<|im_end|>\n"
        "<|im_start|>assistant\nThe cat sleeps.<|im_end|>\n"
    )
    assert tokenizer.apply_chat_template(
        conversation[:2], tokenize=False, add_generation_prompt=True
    ).endswith("<|im_end|>\n<|im_start|>assistant\n")
    assert "generation %" not in tokenizer.chat_template


def test_the_template_refuses_a_late_system_message(tokenizer: Any) -> None:
    conversation = [{"role": "user", "content": "Hi"}, {"role": "system", "content": "Be kind."}]
    with pytest.raises(jinja2.TemplateError, match="must be the first message"):
        tokenizer.apply_chat_template(conversation, tokenize=False)


def test_any_text_survives_the_round_trip(tokenizer: Any) -> None:
    text = "Grüße 🤖 \t\x00 \u202e zwölf\n  ende "
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids) == text
