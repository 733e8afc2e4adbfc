"""The findings that depend on a model's own tokenizer and template, on real ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from core.data.check import check
from core.recipe import Recipe, with_changes

PLAIN = {"messages": [
    {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "Sum?"}, {"role": "assistant", "content": "4"},
]}  # fmt: skip
TOOL = {"type": "function", "function": {"name": "add", "description": "adds", "parameters": {"type": "object", "properties": {"a": {"type": "integer", "description": "one"}}}}}  # fmt: skip
ALL = ("qwen2_5", "qwen3", "phi3_mini", "phi4", "gpt_oss", "smollm2", "olmo2", "granite3", "mistral_v3")


def codes(model: Path, tmp_path: Path, *rows: Any, **data: Any) -> set[str]:
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    changes = {"data.source": str(source), "data.eval_fraction": 0.0} | {
        f"data.{key}": value for key, value in data.items()
    }
    return {finding.code for finding in check(with_changes(Recipe(), changes), model).findings}


@pytest.fixture(params=ALL)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_each_model_has_the_findings_that_are_known_of_it(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    model = shared_data / "tokenizers" / name
    plain = codes(model, tmp_path, PLAIN)
    assert plain.isdisjoint(
        {"no-stop", "stop-outside-loss", "prompt-in-loss", "markers-miss-answer", "text-dropped"}
    )
    assert ("wrong-stop" in plain) == (name in ("phi3_mini", "gpt_oss"))
    assert ("default-system" in plain) == (name in ("qwen2_5", "smollm2", "granite3", "gpt_oss"))
    assert ("date-in-template" in plain) == (name in ("granite3", "gpt_oss"))
    tools = codes(model, tmp_path, {**PLAIN, "tools": [TOOL]})
    assert ("tools-ignored" in tools) == (name in ("phi3_mini", "phi4", "smollm2", "olmo2"))
    newline = codes(
        model,
        tmp_path,
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "\nYes."}]},
    )
    merges = bool(newline & {"boundary-merge", "prompt-mismatch"})
    assert merges or name not in ("qwen2_5", "olmo2")
    system = codes(
        model, tmp_path, {"messages": [{"role": "system", "content": "Be brief."}, *PLAIN["messages"]]}
    )
    assert ("system-dropped" in system) == (name == "mistral_v3")


def test_text_that_was_rendered_beforehand(shared_data: Path, tmp_path: Path) -> None:
    chatml = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>\n"
    assert "double-eos" in codes(shared_data / "tokenizers" / "qwen2_5", tmp_path, {"text": chatml})
    mistral = shared_data / "tokenizers" / "mistral_v3"
    assert "double-bos" in codes(mistral, tmp_path, {"text": "<s>[INST] Hi[/INST] Yes.</s>"})
    assert "double-bos" not in codes(mistral, tmp_path, {"text": "Once."})


def test_a_folder_whose_files_disagree(shared_data: Path, tmp_path: Path) -> None:
    whole = shared_data / "tokenizers" / "olmo2"
    assert "tokenizer-files-disagree" not in codes(whole, tmp_path, PLAIN)
    without = tmp_path / "olmo2"
    shutil.copytree(whole, without, ignore=shutil.ignore_patterns("config.json"))
    found = codes(without, tmp_path, PLAIN)
    assert "tokenizer-files-disagree" in found


def test_thinking_of_earlier_turns(shared_data: Path, tmp_path: Path) -> None:
    thought = {"messages": [
        {"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "<think>\nTwo twos.\n</think>\n\n4"},
        {"role": "user", "content": "3+3?"}, {"role": "assistant", "content": "<think>\nTwo threes.\n</think>\n\n6"},
    ]}  # fmt: skip
    qwen3 = shared_data / "tokenizers" / "qwen3"
    assert "thinking-stripped" in codes(qwen3, tmp_path, thought)
    assert "thinking-stripped" not in codes(qwen3, tmp_path, thought, template="trl-training")
