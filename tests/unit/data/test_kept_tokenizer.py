"""A tokenizer kept for processes without transformers is the tokenizer that transformers loads."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.data import kept_tokenizer
from core.data.kept_tokenizer import is_plain, keep
from core.data.tokenizer import Facts, Tokenizer, facts_of, from_transformers, load_tokenizer
from core.errors import TunedeckError
from core.workspace import EMBEDDED_MODEL, cache_folder

TOKENIZERS = (
    "gpt2", "gpt_oss", "granite3", "mistral_v3", "olmo2", "phi3_mini", "phi4", "qwen2_5", "qwen3", "smollm2",
)  # fmt: skip
TEXTS = (
    "", " ", "Hello world", "  two  blanks ", "12345 6", "tab\tnew\r\n\n\nline", "don't I'LL", "的中文。",
    "e\u0301 é 🤖👩‍👩‍👧 \u200b\ufeff", "<|im_start|>user\nHi<|im_end|>\n<s>[INST] x [/INST]</s><|end|> <|user|>\n a",
    "def f(x):\n    return x ** 2  # café", "\x00\x1b[31m", "ſﬁ ％",
)  # fmt: skip


def test_the_embedded_tokenizer(tmp_path: Path) -> None:
    same(EMBEDDED_MODEL, tmp_path)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_every_shared_tokenizer(name: str, shared_data: Path, tmp_path: Path) -> None:
    same(shared_data / "tokenizers" / name, tmp_path)


def same(folder: Path, place: Path) -> None:
    """What is kept of a folder gives the ids, texts and facts that transformers gives."""
    from tokenizers import Tokenizer as Rust

    hf: Any = from_transformers(folder)
    keep(folder, place / "kept")
    found = json.loads((place / "kept" / "facts.json").read_text())
    assert found["usable"]
    assert found["facts"] == facts_of(hf)
    rust = Rust.from_file(str(place / "kept" / "tokenizer.json"))
    ours = Tokenizer(folder, Facts(**found["facts"]), rust)
    assert ours.added == hf.get_added_vocab()
    assert ours.special_ids == set(hf.get_added_vocab().values()) | set(hf.all_special_ids)
    assert ours.eos_text == (hf.eos_token or "")
    assert ours.special_texts == hf.special_tokens_map
    assert set(ours.special_added) == {
        str(token) for token in hf.added_tokens_decoder.values() if token.special
    }
    for text in TEXTS:
        for special in (False, True):
            assert ours.encode(text, special=special) == hf(text, add_special_tokens=special)["input_ids"]
    vocabulary = hf.get_vocab()
    for number in (*range(0, ours.vocabulary_size, 997), *ours.special_ids):
        assert ours.token(number) == (hf.convert_ids_to_tokens(number) or "")
        assert ours.id_of(ours.token(number)) == vocabulary.get(ours.token(number))
        assert ours.token_text(number) == hf.decode([number], clean_up_tokenization_spaces=False)
    assert ours.id_of("no such token at all") is None


def test_a_row_is_shown_without_transformers_or_torch(tmp_path: Path) -> None:
    program = (
        "import json, sys; from pathlib import Path; from core.data.view import show_row;"
        "from core.recipe import parse_recipe; from core.workspace import EMBEDDED_MODEL;"
        "row = show_row(parse_recipe('[data]\\nsource = \"demo/yoda.jsonl\"'), EMBEDDED_MODEL, 3);"
        "print(json.dumps([row.input_ids, row.labels, sorted({'torch', 'transformers', 'trl'} & set(sys.modules))]))"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    shown = []
    for _ in range(2):  # made, then read
        done = subprocess.run(
            [sys.executable, "-P", "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        shown.append(json.loads(done.stdout))
    assert shown[0] == shown[1]
    ids, labels, heavy = shown[0]
    assert len(ids) == len(labels) > 0
    assert heavy == []


def test_it_is_made_once_where_two_ask_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app asks ahead, the workshop soon after: the second waits for the first and makes nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = kept_tokenizer._place(EMBEDDED_MODEL)
    command = [sys.executable, "-P", "-m", "core.data.kept_tokenizer", str(EMBEDDED_MODEL), str(place)]
    first, second = (subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(2))
    first.wait()
    made = (place / "facts.json").stat().st_mtime_ns
    assert (first.returncode, second.wait()) == (0, 0)
    assert (place / "facts.json").stat().st_mtime_ns == made
    kept_tokenizer.make_ready(EMBEDDED_MODEL)
    assert (place / "facts.json").stat().st_mtime_ns == made


def test_a_folder_without_a_tokenizer_is_left_alone(tmp_path: Path) -> None:
    kept_tokenizer.make_ready(tmp_path)
    assert not (cache_folder() / "tokenizers").exists()


def test_what_is_more_than_its_rust_part_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hf = from_transformers(EMBEDDED_MODEL)
    assert is_plain(hf)

    class Own(type(hf)):  # type: ignore[misc]
        def _decode(self, *arguments: Any, **options: Any) -> str:
            return "other"

    hf.__class__ = Own
    assert not is_plain(hf)
    monkeypatch.setattr("core.data.tokenizer.from_transformers", lambda folder: hf)
    keep(EMBEDDED_MODEL, tmp_path / "kept")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["facts.json"]
    monkeypatch.setattr(kept_tokenizer, "_place", lambda folder: tmp_path / "kept")
    assert kept_tokenizer.kept(EMBEDDED_MODEL) is None


def test_a_changed_file_is_another_tokenizer(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(EMBEDDED_MODEL, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    before = kept_tokenizer._place(folder)
    assert before.parent == cache_folder() / "tokenizers"
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert kept_tokenizer._place(folder) != before
    assert load_tokenizer(folder).facts.chat_template == "{{ messages }}"


def test_a_broken_tokenizer_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(TunedeckError, match="the tokenizer cannot be loaded"):
        load_tokenizer(tmp_path)
