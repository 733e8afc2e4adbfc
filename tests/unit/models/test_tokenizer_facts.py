"""Tokenizer facts from files against the tokenizers transformers builds of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from core.errors import TunedeckError
from core.models.tokenizer_facts import tokenizer_facts
from tests.unit.models.model_folders import write_model


@pytest.mark.slow
def test_real_tokenizers_read_as_transformers_builds_them(shared_data: Path) -> None:
    from transformers import AutoTokenizer

    folders = [path for path in sorted((shared_data / "tokenizers").iterdir()) if path.is_dir()]
    assert len(folders) == 10
    for folder in folders:
        built = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        found = tokenizer_facts(folder)
        for name in ("bos", "eos", "pad", "unk"):
            text, number = getattr(built, f"{name}_token"), getattr(built, f"{name}_token_id")
            ours = found.special.get(name)
            assert (ours.text, ours.id) if ours else (text, number) == (None, None), (folder.name, name)
        adds_bos = built.bos_token_id is not None and built("a")["input_ids"][0] == built.bos_token_id
        assert found.adds_bos == adds_bos, folder.name
        assert found.tokens == len(built), folder.name
        assert found.instruct == (built.chat_template is not None)


def test_notes_of_real_tokenizers(shared_data: Path) -> None:
    folder = shared_data / "tokenizers"
    assert any("both put BOS" in note for note in tokenizer_facts(folder / "mistral_v3").notes)
    assert any("pad is the EOS token" in note for note in tokenizer_facts(folder / "smollm2").notes)
    assert any("today's date" in note for note in tokenizer_facts(folder / "granite3").notes)
    assert any("two chat templates" in note for note in tokenizer_facts(folder / "qwen3").notes)
    assert any("not with EOS '<|return|>'" in note for note in tokenizer_facts(folder / "gpt_oss").notes)
    assert any("a base model" in note for note in tokenizer_facts(folder / "gpt2").notes)


def test_a_tokenizer_without_config_is_a_trap(shared_data: Path, tmp_path: Path) -> None:
    shutil.copytree(shared_data / "tokenizers" / "olmo2", tmp_path / "olmo2")
    (tmp_path / "olmo2" / "config.json").unlink()
    assert any("guesses its class" in note for note in tokenizer_facts(tmp_path / "olmo2").notes)


def test_no_tokenizer_at_all(tmp_path: Path) -> None:
    assert "no tokenizer" in tokenizer_facts(tmp_path).notes[0]


def test_a_file_that_is_not_json_is_named(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(TunedeckError, match=r"tokenizer\.json cannot be read"):
        tokenizer_facts(folder)


def test_named_templates_take_the_default(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", template="")
    named = [
        {"name": "tool_use", "template": "T"},
        {"name": "default", "template": "{{ messages[0].content }}"},
    ]
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    found = tokenizer_facts(folder)
    assert found.template is not None and not found.template.problem
    assert any("nothing follows an answer" in note for note in found.notes)
