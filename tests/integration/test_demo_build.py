"""The script that makes the demo's model: it runs, and what it trains on is weighed as documented."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from core.demo import build, learn, paths, talk


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(paths.MODEL)


def test_the_script_makes_the_committed_files_and_shapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import safe_open

    monkeypatch.setattr(learn, "POOL", 64)
    build.build_model(tmp_path, learn.Schedule(steps=2, batch_tokens=256))
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in paths.MODEL.iterdir()}
    for name in ("config.json", "generation_config.json", "tokenizer.json"):
        assert (tmp_path / name).read_bytes() == (paths.MODEL / name).read_bytes(), name

    def shapes(folder: Path) -> dict[str, tuple[str, list[int]]]:
        with safe_open(folder / "model.safetensors", "pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        return {name: (part.get_dtype(), part.get_shape()) for name, part in slices.items()}

    assert shapes(tmp_path) == shapes(paths.MODEL)


def test_answers_weigh_one_prompts_a_tenth_and_headers_nothing(tokenizer: Any) -> None:
    conversation = talk.messages([("Say: The cat sleeps.", "The cat sleeps.")])
    ids, weights = learn.encode(tokenizer, conversation)
    assert ids == tokenizer.apply_chat_template(conversation)["input_ids"]
    answer = tokenizer.encode("The cat sleeps.<|im_end|>", add_special_tokens=False)
    assert [id for id, weight in zip(ids, weights, strict=True) if weight == 1.0] == answer
    prompt = tokenizer.encode("Say: The cat sleeps.<|im_end|>", add_special_tokens=False)
    assert [id for id, weight in zip(ids, weights, strict=True) if weight == learn.PROMPT_WEIGHT] == prompt


def test_random_tokens_are_asked_and_answered_the_same(tokenizer: Any) -> None:
    ids, weights = learn._random_copy(Random(3), tokenizer)
    answer = [id for id, weight in zip(ids, weights, strict=True) if weight == 1.0]
    assert answer[-1] == tokenizer.eos_token_id
    content = answer[:-1]
    assert content
    first = next(at for at in range(len(ids)) if ids[at : at + len(content)] == content)
    assert weights[first] == 0.0
    assert ids[first + len(content)] == tokenizer.eos_token_id


def test_the_rate_warms_up_and_falls_to_a_fiftieth() -> None:
    schedule = learn.Schedule(steps=1000, warmup_steps=100)
    assert learn._rate(0, schedule) == 0.01
    assert learn._rate(99, schedule) == learn._rate(100, schedule) == 1.0
    assert learn._rate(1000, schedule) == pytest.approx(0.02)


def test_the_model_is_as_exact_on_the_probe_as_when_it_was_made(tokenizer: Any) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(paths.MODEL, dtype=torch.float32)
    assert learn.exact(model, list(learn._probe(tokenizer))) >= 0.95
