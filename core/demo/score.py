"""How often the demo's model gets held-out sentences exactly right, with and without an adapter."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.demo import paths

MAX_NEW_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Request:
    """One held-out request: the conversation before the answer, and the right answer."""

    prompt: list[dict[str, str]]
    answer: str


@dataclass(frozen=True, slots=True)
class Scores:
    """Shares of held-out sentences that were answered exactly right, 0 to 1."""

    base_repeats: float  # base model, plain order expected
    base_yoda: float  # base model, Yoda order expected
    tuned_yoda: float | None = None  # with the adapter, Yoda order expected
    adapter_off_repeats: float | None = None  # the tuned model with its adapter switched off, plain order

    def to_json(self) -> dict[str, float | None]:
        return asdict(self)


def read_requests(path: Path) -> list[Request]:
    """The rows of a held-out file; the last message is the answer."""
    turns = [json.loads(line)["messages"] for line in path.read_text(encoding="utf-8").splitlines()]
    return [Request(prompt=messages[:-1], answer=messages[-1]["content"]) for messages in turns]


def score(
    model_folder: Path = paths.MODEL,
    adapter: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Scores:
    """Answer every held-out request greedily and compare with the right answers, letter by letter.

    With an adapter the same model is asked again under it, with the adapter on and off. `progress` is told
    in words what is being measured.
    """
    tell = progress or (lambda words: None)
    tell("base model")
    model, tokenizer = load(model_folder)
    plain, yoda = read_requests(paths.REPEAT_HELD_OUT), read_requests(paths.HELD_OUT)
    said = answers(model, tokenizer, [request.prompt for request in plain])
    base = Scores(base_repeats=exact(said, plain), base_yoda=exact(said, yoda))
    if adapter is None:
        return base
    tell("tuned model")
    tuned = with_adapter(model, adapter)
    tuned_said = answers(tuned, tokenizer, [request.prompt for request in yoda])
    tell("adapter switched off")
    with tuned.disable_adapter():
        off_said = answers(tuned, tokenizer, [request.prompt for request in plain])
    return Scores(base.base_repeats, base.base_yoda, exact(tuned_said, yoda), exact(off_said, plain))


def exact(said: list[str], requests: list[Request]) -> float:
    """Share of answers that are the right ones."""
    return sum(text == request.answer for text, request in zip(said, requests, strict=True)) / len(requests)


def load(folder: Path) -> tuple[Any, Any]:
    """The model in float32 for generating, and its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def with_adapter(model: Any, adapter: Path) -> Any:
    """The model under a saved PEFT adapter."""
    from peft import PeftModel

    return PeftModel.from_pretrained(model, adapter).eval()


def answers(model: Any, tokenizer: Any, prompts: list[list[dict[str, str]]], *, batch: int = 50) -> list[str]:
    """The greedy answers to the prompts, generated in batches padded on the left.

    An answer that did not stop by itself within 64 tokens ends in "…", so that it is right for nobody.
    """
    import torch

    said = []
    with _padded_left(tokenizer), torch.inference_mode():
        for start in range(0, len(prompts), batch):
            asked = tokenizer.apply_chat_template(
                prompts[start : start + batch],
                add_generation_prompt=True,
                padding=True,
                return_tensors="pt",
                return_dict=True,
            )
            made = model.generate(
                **asked.to(model.device), do_sample=False, max_new_tokens=MAX_NEW_TOKENS, max_length=None
            )
            for ids in made[:, asked["input_ids"].shape[1] :]:
                stopped = tokenizer.eos_token_id in ids
                said.append(tokenizer.decode(ids, skip_special_tokens=True) + ("" if stopped else "…"))
    return said


@contextmanager
def _padded_left(tokenizer: Any) -> Iterator[None]:
    before = tokenizer.padding_side
    tokenizer.padding_side = "left"
    try:
        yield
    finally:
        tokenizer.padding_side = before
