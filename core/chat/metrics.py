"""Figures of an evaluation, as plain functions of numbers and texts. Each says what it counts."""

from __future__ import annotations

import json
import math
import re
import string
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from core.errors import UsageError

RESAMPLES = 10_000
NGRAM = 4


@dataclass(frozen=True, slots=True)
class RowLoss:
    """Sums over the labelled tokens of one row: negative log likelihood in nats, hits of the argmax, tokens."""

    row: int
    loss_sum: float
    hits: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Marked:
    """One generated answer beside the expected one, marked."""

    question: int
    row: int
    text: str
    expected: str
    tokens: int
    exact: bool
    normalised: bool
    stopped: bool
    repetition: float
    chrf: float
    valid: bool | None = None  # None: no form was asked for


@dataclass(frozen=True, slots=True)
class Scores:
    """One model's figures. Rates are 0..1; a figure that could not be taken is None.

    `loss` is the mean over all labelled tokens of all rows (not the mean of row means), `perplexity` its exponential.
    """

    loss: float | None
    perplexity: float | None
    token_accuracy: float | None
    exact_match: float | None
    normalised_match: float | None
    chrf: float | None
    stop_rate: float | None
    repetition: float | None
    answer_tokens: float | None
    valid_rate: float | None
    examples: int
    labelled_tokens: int
    answers: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean difference of two models on the same questions, with a 95 % interval."""

    mean: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "clear": self.is_clear}


def scores(losses: Sequence[RowLoss], marked: Sequence[Marked]) -> Scores:
    """Summarise one model."""
    tokens = sum(row.tokens for row in losses)
    loss = sum(row.loss_sum for row in losses) / tokens if tokens else None
    return Scores(
        loss=loss,
        perplexity=perplexity(loss),
        token_accuracy=sum(row.hits for row in losses) / tokens if tokens else None,
        exact_match=_mean([answer.exact for answer in marked]),
        normalised_match=_mean([answer.normalised for answer in marked]),
        chrf=_mean([answer.chrf for answer in marked]),
        stop_rate=_mean([answer.stopped for answer in marked]),
        repetition=_mean([answer.repetition for answer in marked]),
        answer_tokens=_mean([answer.tokens for answer in marked]),
        valid_rate=_mean([answer.valid for answer in marked if answer.valid is not None]),
        examples=len(losses),
        labelled_tokens=tokens,
        answers=len(marked),
    )


def perplexity(loss: float | None) -> float | None:
    """exp(loss); None where it is not a number a person can use."""
    if loss is None or not math.isfinite(loss) or loss > 700:
        return None
    return math.exp(loss)


def mark(
    question: int,
    row: int,
    ids: Sequence[int],
    text: str,
    expected: str,
    *,
    stopped: bool,
    form: str = "",
) -> Marked:
    """Compare an answer's text with the expected one. `ids` are the answer's tokens without its stop token.

    `form` is "", "json" or "re:PATTERN": what every answer should look like.
    """
    return Marked(
        question=question,
        row=row,
        text=text,
        expected=expected,
        tokens=len(ids),
        exact=text == expected,
        normalised=normalise(text) == normalise(expected),
        stopped=stopped,
        repetition=repetition(ids),
        chrf=chrf(text, expected),
        valid=has_form(text, form) if form else None,
    )


def check_form(form: str) -> None:
    """Raise UsageError for a form that is neither "", "json" nor a regular expression after "re:"."""
    try:
        has_form("", form)
    except (ValueError, re.error) as error:
        raise UsageError(
            f"{form} is not a form: {error}",
            where="--form",
            fix="use json, or re:PATTERN for the whole answer",
        ) from None


def has_form(text: str, form: str) -> bool:
    """Whether an answer is JSON, or is matched whole by the pattern after "re:". An empty form takes all."""
    if form == "json":
        try:
            json.loads(text)
        except ValueError:
            return False
        return True
    if form and not form.startswith("re:"):
        raise ValueError("it is neither json nor re:PATTERN")
    return not form or re.fullmatch(form.removeprefix("re:"), text, re.DOTALL) is not None


def normalise(text: str) -> str:
    """Lower case, no ASCII punctuation, single blanks."""
    kept = text.casefold().translate(str.maketrans("", "", string.punctuation))
    return " ".join(kept.split())


def chrf(text: str, expected: str) -> float:
    """chrF2 of one answer (Popović 2015, as sacrebleu computes it): F-score of character 1- to 6-grams, 0..1."""
    from sacrebleu.metrics import CHRF

    if not text.strip() and not expected.strip():
        return 1.0
    return float(CHRF().sentence_score(text, [expected]).score) / 100


def repetition(ids: Sequence[int], n: int = NGRAM) -> float:
    """Share of an answer's token n-grams that occurred before in it; 0 for an answer shorter than n."""
    grams = [tuple(ids[start : start + n]) for start in range(len(ids) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def paired_difference(
    one: Sequence[float], other: Sequence[float], weights: Sequence[float] | None = None, *, seed: int = 0
) -> Difference | None:
    """Weighted mean of `one` minus that of `other`, both on the same items in the same order.

    The interval is the 2.5 to 97.5 percentile over resamples of the items (paired bootstrap). For token losses pass row
    means and token counts as weights. None for no items.
    """
    if not one:
        return None
    difference = np.asarray(one, dtype=float) - np.asarray(other, dtype=float)
    weight = np.ones_like(difference) if weights is None else np.asarray(weights, dtype=float)
    generator = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for start in range(0, RESAMPLES, 500):  # in parts: the table of indices would be large for large sets
        chosen = generator.integers(0, len(difference), size=(500, len(difference)))
        means[start : start + 500] = (difference[chosen] * weight[chosen]).sum(1) / weight[chosen].sum(1)
    mean = float((difference * weight).sum() / weight.sum())
    return Difference(mean, float(np.percentile(means, 2.5)), float(np.percentile(means, 97.5)))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
