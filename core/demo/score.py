"""How often the demo's model gets held-out sentences exactly right, with and without an adapter."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.chat.generate import answers
from core.chat.load import LoadedModel, load
from core.chat.subject import Subject
from core.demo import paths

MAX_NEW_TOKENS = 64  # twice the longest right answer
BATCH = 50


@dataclass(frozen=True, slots=True)
class Request:
    """One held-out request: the conversation before the answer, and the right answer."""

    prompt: list[dict[str, str]]
    answer: str


@dataclass(frozen=True, slots=True)
class Scores:
    """Shares of held-out sentences that were answered exactly right, 0 to 1; None where no adapter was asked."""

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


def score(subject: Subject, progress: Callable[[str], None] | None = None) -> Scores:
    """Answer every held-out request greedily and compare with the right answer, letter by letter.

    The base is loaded on its own, never under an adapter. With an adapter the model is then loaded with it
    and asked twice: adapter on, adapter off. `progress` is told in words what is being measured. Loads
    torch: call it in a process of its own (`core.workshop`). Raises TunedeckError if the model cannot be loaded.
    """
    tell = progress or (lambda words: None)
    plain, yoda = read_requests(paths.REPEAT_HELD_OUT), read_requests(paths.HELD_OUT)
    prompts = [request.prompt for request in plain]
    tell("base model")
    base = load(Subject(subject.label, subject.model_folder, dtype=subject.dtype))
    said = spoken(base, prompts)
    base_repeats, base_yoda = exact(said, plain), exact(said, yoda)
    if subject.adapter is None:
        return Scores(base_repeats, base_yoda)
    tell("tuned model")
    tuned = load(subject)
    tuned_yoda = exact(spoken(tuned, prompts), yoda)
    tell("tuned model, adapter switched off")
    with tuned.model.disable_adapter():
        off_repeats = exact(spoken(tuned, prompts), plain)
    return Scores(base_repeats, base_yoda, tuned_yoda, off_repeats)


def exact(said: Sequence[str], requests: Sequence[Request]) -> float:
    """Share of answers that are the right ones."""
    return sum(text == request.answer for text, request in zip(said, requests, strict=True)) / len(requests)


def spoken(loaded: LoadedModel, prompts: Sequence[list[dict[str, str]]]) -> list[str]:
    """The greedy answers. One that did not stop by itself in 64 tokens ends in "…" and is right for nobody."""
    tokenizer: Any = loaded.tokenizer
    ids = [tokenizer.apply_chat_template(p, add_generation_prompt=True)["input_ids"] for p in prompts]
    made = answers(
        loaded.model,
        tokenizer,
        ids,
        max_tokens=MAX_NEW_TOKENS,
        stop_ids=loaded.stop_ids,
        batch_size=BATCH,
    )
    return [
        tokenizer.decode(answer, skip_special_tokens=True)
        + ("" if answer and answer[-1] in loaded.stop_ids else "…")
        for answer in made
    ]
