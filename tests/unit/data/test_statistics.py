"""Figures over a set, on lengths small enough to count by hand, and against TRL's own packing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.statistics import Lengths, cut_at, histogram, packs_of, padding_waste, summary


def lengths(*rows: tuple[int, list[tuple[int, int]]]) -> Lengths:
    runs = [(index, start, end) for index, (_, spans) in enumerate(rows) for start, end in spans]
    return Lengths(
        np.arange(len(rows)), np.array([n for n, _ in rows], dtype=np.int64), np.array(runs, dtype=np.int64).reshape(-1, 3),
        {"user": 3, "assistant": 4},
    )  # fmt: skip


FOUR = lengths((10, [(4, 6), (8, 10)]), (4, [(1, 4)]), (6, []), (8, [(7, 8)]))


def test_summary() -> None:
    figures = summary(FOUR)
    assert (figures.examples, figures.tokens, figures.trained_tokens) == (4, 28, 8)
    assert (
        figures.quantiles["shortest"] == 4
        and figures.quantiles["longest"] == 10
        and figures.quantiles["p50"] == 6
    )
    assert figures.trained_share == pytest.approx(8 / 28)
    assert figures.to_json()["by_role"] == {"user": 3, "assistant": 4}


def test_a_quantile_is_the_shortest_length_that_reaches_its_share() -> None:
    four = lengths((12, []), (22, []), (32, []), (42, []))
    found = summary(four).quantiles
    assert (found["p1"], found["p25"], found["p50"], found["p75"], found["p99"]) == (12, 12, 22, 32, 42)


def test_an_empty_set() -> None:
    assert summary(lengths()).to_json()["tokens"] == 0
    assert cut_at(lengths(), 10).packs == {"bfd": 0, "bfd_split": 0, "wrapped": 0}


def test_what_a_cut_costs() -> None:
    cut = cut_at(FOUR, 7)
    assert (cut.rows_cut, cut.rows_without_label, cut.tokens_lost, cut.trained_lost) == (2, 1, 4, 3)
    assert cut_at(FOUR, 10).trained_lost == 0
    assert cut.packs == {"bfd": 4, "bfd_split": 4, "wrapped": 4}
    assert cut.packing_fill["bfd"] == pytest.approx(24 / 28)
    assert cut.padding_waste[1] == 0
    assert cut.padding_waste[4] == pytest.approx(1 - 24 / 28)


def test_padding_counts_a_short_last_batch() -> None:
    assert padding_waste(np.array([5, 5, 5]), 2) == 0
    assert padding_waste(np.array([1, 1, 4]), 3) == pytest.approx(0.5)


def test_histogram_holds_every_row() -> None:
    counts, edges = histogram(FOUR, 5)
    assert counts.tolist() == [0, 1, 1, 1, 1] and edges.tolist() == [1, 3, 5, 7, 9, 11]


def test_lengths_survive_the_disk(tmp_path: Path) -> None:
    FOUR.save(tmp_path / "lengths.npz")
    again = Lengths.load(tmp_path / "lengths.npz")
    assert again.runs.tolist() == FOUR.runs.tolist() and again.by_role == FOUR.by_role


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=40), st.integers(2, 16))
def test_packs_are_as_many_as_trl_makes(rows: list[int], size: int) -> None:
    import pyarrow as pa
    from trl.data_utils import _pack_bfd, _pack_wrapped

    table = pa.table({"input_ids": [list(range(length)) for length in rows]})
    array = np.array(rows)
    assert packs_of(array, size, "bfd") == len(_pack_bfd(table, size, "truncate"))
    assert packs_of(array, size, "bfd_split") == len(_pack_bfd(table, size, "split"))
    assert packs_of(array, size, "wrapped") == len(_pack_wrapped(table, size))
