"""Two rows under one another: equal stretches once, differences twice with marks below, nothing too wide."""

from __future__ import annotations

import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.data.check import CheckReport
from core.data.compare import Pair, compare_rows
from core.data.statistics import Lengths
from core.data.tokens import Cause, Tokens
from core.data.types import Finding, Rendering
from core.data.view import ShownRow
from tui.data.choice import finding_at, in_order, next_row, rows_that, wanted
from tui.widgets.pair_layout import MARGIN, differences, lay_out_pairs


def shown(words: list[str], trained: set[int]) -> ShownRow:
    """A row whose tokens are these words; equal words have equal ids."""
    different = sorted(set(words))
    ids = np.asarray([zlib.crc32(word.encode()) >> 8 for word in words], dtype=np.int32)
    marks = np.asarray([place in trained for place in range(len(words))], dtype=bool)
    places = np.arange(len(words), dtype=np.int32)
    tokens = Tokens(
        ids, np.where(marks, ids, -100), places, places + 1,
        np.asarray([different.index(word) for word in words], dtype=np.int32),
        np.zeros(len(words), dtype=np.int32), tuple(word.encode() for word in different),
        (Cause("user", 0, "content", "no"),),
    )  # fmt: skip
    rendering = Rendering("".join(words), (), False, ())
    return ShownRow(0, {}, "x:1", "", None, rendering, tokens, len(words), "a", "b", frozenset())


def told(left: ShownRow, right: ShownRow, width: int) -> list[tuple[str, str]]:
    pairs = compare_rows(left, right)
    layout = lay_out_pairs(pairs, left, right, width)
    return [(line.kind, "".join(piece.text for piece in line.pieces)) for line in layout.lines]


def test_a_label_that_differs_is_marked_below_both_lines() -> None:
    words = ["one", "\n", "two", "three", "\n"]
    assert told(shown(words, {2}), shown(words, {2, 3}), 40) == [
        ("same", "one⏎"),
        ("left", "twothree⏎"),
        ("right", "twothree⏎"),
        ("marks", "   ▲~~~~ "),
    ]


def test_a_token_that_one_side_lacks_leaves_a_line_there() -> None:
    left, right = shown(["a", "bb", "c"], set()), shown(["a", "c"], set())
    assert told(left, right, 40) == [("left", "abbc"), ("right", "a──c"), ("marks", " ▲^ ")]
    assert differences(compare_rows(left, right)) == [1]


@given(
    st.lists(st.sampled_from(["a", "bb", "ccc", "\n", " x", "日本"]), max_size=30),
    st.sets(st.integers(0, 29)),
    st.integers(6, 20),
)
def test_every_pair_stands_once_on_lines_that_fit(words: list[str], trained: set[int], width: int) -> None:
    left, right = shown(words, trained), shown(words[::2], set())
    pairs: tuple[Pair, ...] = compare_rows(left, right)
    layout = lay_out_pairs(pairs, left, right, width)
    upper = [piece.pair for line in layout.lines if line.kind in ("same", "left") for piece in line.pieces]
    assert upper == list(range(len(pairs)))
    assert all(sum(piece.cells for piece in line.pieces) <= width - MARGIN for line in layout.lines)
    for pair in range(len(pairs)):
        assert any(piece.pair == pair for at in layout.lines_of(pair) for piece in layout.lines[at].pieces)


REPORT = CheckReport(
    rows=6, examples=5, eval_examples=0, tokens=0, trained_tokens=0, engine="", seconds={}, notes=(),
    findings=(Finding("cut", "error", (4,), "", ""), Finding("odd", "warning", (1, 4), "", "")),
    lengths=Lengths(
        np.asarray([0, 1, 2, 4, 5]), np.asarray([10, 30, 20, 50, 40]),
        np.asarray([[0, 0, 5], [1, 0, 3], [2, 0, 20], [3, 0, 5]]),
    ),
)  # fmt: skip


def test_a_filter_is_read_into_terms_and_text() -> None:
    read = wanted("big tokens>1,000 cut river", frozenset({"cut"}))
    assert read.terms == ("tokens>1,000", "cut") and read.text == "big river"
    assert wanted("tokens > 5").text == "tokens > 5"  # no term: looked for as it stands


def test_terms_choose_rows() -> None:
    chosen = {
        "tokens>=30": [1, 4, 5], "tokens=10": [0], "trained<=10%": [1, 4, 5], "trained=0": [5],
        "warning": [1, 4], "error": [4], "odd": [1, 4],
    }  # fmt: skip
    for term, rows in chosen.items():
        assert rows_that((term,), REPORT).tolist() == rows, term
    assert rows_that(("tokens>=30", "odd"), REPORT).tolist() == [1, 4]


def test_orders_put_rows_without_tokens_last() -> None:
    assert in_order(None, "number", REPORT) is None
    longest = in_order(None, "longest first", REPORT)
    assert longest is not None and longest.tolist() == [4, 5, 1, 2, 0, 3]
    least = in_order(np.asarray([3, 2, 1, 0]), "least trained first", REPORT)
    assert least is not None and least.tolist() == [1, 0, 2, 3]


def test_the_next_row_of_a_finding() -> None:
    assert next_row((1, 4), 1, 1) == 4 and next_row((1, 4), 4, 1) is None and next_row((1, 4), 4, -1) == 1
    found = finding_at(REPORT, 4)
    assert found is not None and found.code == "cut" and finding_at(REPORT, 2) is None
