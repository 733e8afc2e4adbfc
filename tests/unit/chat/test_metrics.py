"""Evaluation figures recomputed by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.chat.metrics import (
    RowLoss,
    check_form,
    has_form,
    mark,
    normalise,
    paired_difference,
    perplexity,
    repetition,
    scores,
)
from core.chat.questions import ScoredRow, questions, trained_spans, without_stop
from core.errors import UsageError


def test_loss_is_per_token_not_per_row() -> None:
    rows = [RowLoss(0, 6.0, 1, 2), RowLoss(1, 2.0, 6, 8)]
    marked = [
        mark(0, 0, [1, 2], "A cat.", "A cat.", stopped=True),
        mark(1, 1, [1, 2, 3], "a cat", "A cat.", stopped=False),
        mark(2, 1, [1, 2, 3, 4], "a dog", "A cat.", stopped=True),
    ]
    got = scores(rows, marked)
    assert got.loss == pytest.approx(8.0 / 10)
    assert got.perplexity == pytest.approx(math.exp(0.8))
    assert got.token_accuracy == pytest.approx(7 / 10)
    assert got.exact_match == pytest.approx(1 / 3)
    assert got.normalised_match == pytest.approx(2 / 3)
    assert got.stop_rate == pytest.approx(2 / 3)
    assert got.answer_tokens == 3.0
    assert (got.examples, got.labelled_tokens, got.answers) == (2, 10, 3)


def test_nothing_to_count_is_none_not_zero() -> None:
    got = scores([], [])
    assert (got.loss, got.perplexity, got.exact_match, got.stop_rate) == (None, None, None, None)
    assert perplexity(800.0) is None
    assert perplexity(float("nan")) is None


def test_repetition_counts_repeated_4_grams() -> None:
    assert repetition([1, 2, 3]) == 0.0
    assert repetition([1, 2, 3, 4, 5, 6]) == 0.0
    assert repetition([1, 2, 1, 2, 1, 2, 1, 2]) == pytest.approx(1 - 2 / 5)
    assert repetition([7] * 8) == pytest.approx(1 - 1 / 5)


def test_forms() -> None:
    assert has_form('{"a": [1]}', "json") and not has_form("{'a': 1}", "json")
    assert has_form("yes", "re:yes|no") and not has_form("yes!", "re:yes|no")
    marked = [mark(n, n, [1], text, "", stopped=True, form="json") for n, text in enumerate(["1", "x", "[]"])]
    assert scores([], marked).valid_rate == pytest.approx(2 / 3)
    assert scores([], [mark(0, 0, [1], "x", "", stopped=True)]).valid_rate is None
    for wrong in ("xml", "re:("):
        with pytest.raises(UsageError, match="is not a form"):
            check_form(wrong)


def test_normalise() -> None:
    assert normalise("  The  Cat,\n sees!  ") == "the cat sees"


def test_paired_difference_by_hand() -> None:
    same = paired_difference([1, 0, 1], [1, 0, 1])
    assert same is not None and (same.mean, same.low, same.high, same.is_clear) == (0, 0, 0, False)
    all_better = paired_difference([1.0] * 20, [0.0] * 20)
    assert all_better is not None and (all_better.low, all_better.high) == (1.0, 1.0)
    assert all_better.is_clear
    weighted = paired_difference([3.0, 1.0], [1.0, 1.0], [1, 3])
    assert weighted is not None and weighted.mean == pytest.approx(0.5)
    assert weighted.low == 0.0 and weighted.high == 2.0
    # Ten of forty better, none worse: the standard error of the mean is sqrt(.25 * .75 / 40) = 0.0685.
    some = paired_difference([1.0] * 10 + [0.0] * 30, [0.0] * 40)
    assert some is not None and some.mean == 0.25
    assert some.low == pytest.approx(0.25 - 1.96 * 0.0685, abs=0.02)
    assert some.high == pytest.approx(0.25 + 1.96 * 0.0685, abs=0.02)
    assert paired_difference([], []) is None


def test_questions_are_the_trained_spans() -> None:
    row = ScoredRow(7, (10, 11, 12, 13, 14, 15, 16), (-100, -100, 12, 13, -100, 15, 16))
    first, second = questions([row])
    assert (first.row, first.prompt_ids, first.expected_ids) == (7, (10, 11), (12, 13))
    assert (second.number, second.prompt_ids, second.expected_ids) == (1, (10, 11, 12, 13, 14), (15, 16))
    plain_text = ScoredRow(0, (1, 2), (1, 2))
    assert questions([plain_text]) == []


@given(st.lists(st.sampled_from([-100, 5])))
def test_trained_spans_cover_every_label_once(labels: list[int]) -> None:
    covered = [index for start, end in trained_spans(labels) for index in range(start, end)]
    assert covered == [index for index, label in enumerate(labels) if label != -100]


def test_without_stop() -> None:
    assert without_stop([1, 2, 9, 3], [9]) == (1, 2)
    assert without_stop([1, 2], [9]) == (1, 2)
