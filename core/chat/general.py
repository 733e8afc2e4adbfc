"""A fixed set of general prompts, to see what a run forgot: scored by rule wherever there is one right answer.

The set is short and simple on purpose: it is asked before and after, and only the change counts. It ships with tunedeck,
so figures of different runs can be compared.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.chat.metrics import normalise

PROMPTS = Path(__file__).with_name("general_prompts.jsonl")
MAX_TOKENS = 64
HOW = ("word", "exact", "pattern", "json", "shown")


@dataclass(frozen=True, slots=True)
class GeneralPrompt:
    """One prompt of the set. `how` says when an answer is right:

    word: one of `accept` stands in it as a word, exact: it is one of them but for case and punctuation, pattern: one of
    them matches it whole, json: it is JSON of that value, shown: nobody scores it, both answers are shown.
    """

    kind: str
    prompt: str
    accept: tuple[str, ...]
    how: str


@dataclass(frozen=True, slots=True)
class GeneralAnswer:
    """A model's answer to one prompt. `right` is None where no rule says."""

    text: str
    stopped: bool
    right: bool | None


def general_prompts() -> tuple[GeneralPrompt, ...]:
    """The set, in its order."""
    lines = PROMPTS.read_text(encoding="utf-8").splitlines()
    return tuple(
        GeneralPrompt(entry["kind"], entry["prompt"], tuple(entry["accept"]), entry["how"])
        for entry in map(json.loads, lines)
    )


def is_right(prompt: GeneralPrompt, text: str) -> bool | None:
    """Whether an answer is right by the prompt's own rule; None if it has none."""
    if prompt.how == "shown":
        return None
    text = text.strip()
    if prompt.how == "pattern":
        return any(re.fullmatch(accepted, text) for accepted in prompt.accept)
    if prompt.how == "json":
        try:
            return bool(json.loads(text) == json.loads(prompt.accept[0]))
        except ValueError:
            return False
    if prompt.how == "exact":
        return any(text.rstrip(".!") == accepted for accepted in prompt.accept)
    words = f" {normalise(text)} "
    return any(f" {normalise(accepted)} " in words for accepted in prompt.accept)


@dataclass(frozen=True, slots=True)
class GeneralScores:
    """Share of right answers, over all scored prompts and by kind, 0..1."""

    right: float
    asked: int
    by_kind: dict[str, float]
    stop_rate: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def general_scores(answers: tuple[GeneralAnswer, ...]) -> GeneralScores:
    """Summarise one model's answers to `general_prompts`, in their order."""
    prompts = general_prompts()
    scored = [
        (prompt.kind, answer.right)
        for prompt, answer in zip(prompts, answers, strict=True)
        if answer.right is not None
    ]
    kinds = dict.fromkeys(kind for kind, _ in scored)
    return GeneralScores(
        right=_share([right for _, right in scored]),
        asked=len(scored),
        by_kind={kind: _share([right for other, right in scored if other == kind]) for kind in kinds},
        stop_rate=_share([answer.stopped for answer in answers]),
    )


def _share(values: list[bool]) -> float:
    return sum(values) / len(values)
