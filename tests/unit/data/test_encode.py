"""Ids and places of tokens: both engines agree, and the tokens of a text put together are the text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.drafting import Draft
from core.data.encode import Encoded, TokenizersEncoder, row_starts, tiled, with_places, with_rows
from core.data.encoders import choose_encoder
from core.data.gigatoken_encoder import load_gigatoken
from core.data.labels import trained_bytes
from core.data.loss import Loss
from core.data.token_bytes import TokenBytes, in_bytes, in_characters
from core.data.tokenizer import load_tokenizer
from core.workspace import EMBEDDED_MODEL

TEXTS = [
    "Plain words, 12345 and more.",
    "Yes 🤖 and 👩‍👩‍👧",
    "e\u0301 decomposed, ﬁ ligature, ½",
    "한국어 नमस्ते العربية",
    "\t\ttabs  and   blanks \n \n end ",
    "<|im_end|> typed, and \x04 control \x00 bytes",
    "x" * 300,
]


@pytest.mark.parametrize("name", ["olmo2", "phi3_mini", "smollm2", "mistral_v3"])
def test_gigatoken_gives_the_same_ids_and_places(shared_data: Path, name: str) -> None:
    tokenizer = load_tokenizer(shared_data / "tokenizers" / name)
    fast = load_gigatoken(tokenizer)
    assert fast is not None
    exact = TokenizersEncoder(tokenizer)
    for plain, places in ((False, False), (False, True), (True, False), (True, True)):
        ours = fast.encode(TEXTS, plain=plain, places=places)
        theirs = exact.encode(TEXTS, plain=plain, places=places)
        assert np.array_equal(ours.ids, theirs.ids)
        assert np.array_equal(ours.rows, theirs.rows)
        if places:
            assert np.array_equal(ours.starts, theirs.starts)
            assert np.array_equal(ours.ends, theirs.ends)
    assert theirs.ids[theirs.of(0)].tolist() == tokenizer.encode(TEXTS[0], special=plain)


def test_a_small_set_is_not_worth_loading_gigatoken() -> None:
    tokenizer = load_tokenizer(EMBEDDED_MODEL)
    assert choose_encoder(tokenizer, ["short"] * 10, rows=100).name == "tokenizers"
    assert choose_encoder(tokenizer, ["long enough " * 100] * 10, rows=10_000).name == "gigatoken"


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=40), min_size=1, max_size=4))
def test_tokens_put_together_are_the_text(texts: list[str]) -> None:
    tokenizer = load_tokenizer(EMBEDDED_MODEL)
    encoded = TokenizersEncoder(tokenizer).encode(texts, plain=False, places=True)
    token_bytes = TokenBytes(tokenizer)
    for row, text in enumerate(texts):
        assert token_bytes.join(encoded.ids[encoded.of(row)]) == text.encode()
        places = encoded.places(row)
        assert places is not None
        starts, ends = places
        data = text.encode()
        assert b"".join(data[start:end] for start, end in zip(starts, ends, strict=True)) == data
        assert starts[:1].tolist() in ([], [0])


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_positions_in_bytes_and_back(text: str) -> None:
    characters = np.arange(len(text) + 1)
    positions = in_bytes(text, characters)
    assert positions.tolist() == [len(text[:index].encode()) for index in range(len(text) + 1)]
    first, last = in_characters(text, positions, positions)
    assert first.tolist() == last.tolist() == characters.tolist()


def test_a_token_with_part_of_a_character_covers_all_of_it() -> None:
    first, last = in_characters("a🤖b", np.asarray([1, 3]), np.asarray([3, 5]))
    assert (first.tolist(), last.tolist()) == ([1, 1], [2, 2])


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)).map(sorted), max_size=12))
def test_tiled_offsets_leave_no_gap(offsets: list[list[int]]) -> None:
    ordered = sorted(offsets)
    starts = np.asarray([start for start, _ in ordered], dtype=np.int64)
    ends = np.asarray([end for _, end in ordered], dtype=np.int64)
    first, last = tiled("a" * 20, starts, ends)
    assert (np.diff(first) >= 0).all()
    assert (np.diff(last) >= 0).all()
    assert (first <= last).all()
    assert (first[1:] <= last[:-1]).all()


def test_a_composed_accent_belongs_to_its_letter() -> None:
    first, last = tiled("e\u0301 x", np.asarray([0, 2]), np.asarray([1, 4]))
    assert (first.tolist(), last.tolist()) == ([0, 2], [2, 4])
    first, last = tiled("xe\u0301", np.asarray([0, 1]), np.asarray([1, 2]))
    assert (first.tolist(), last.tolist()) == ([0, 1], [1, 3])


def test_rows_of_two_encodings_are_put_together() -> None:
    one = with_places(
        Encoded(np.asarray([1, 2, 3], np.int32), row_starts([2, 1])),
        [(np.asarray([0, 1]), np.asarray([1, 4])), (np.asarray([0]), np.asarray([2]))],
        np.asarray([4, 2]),
    )
    other = with_places(
        Encoded(np.asarray([9, 8], np.int32), row_starts([2])),
        [(np.asarray([0, 0]), np.asarray([4, 4]))],
        np.asarray([4]),
    )
    both = with_rows(one, np.asarray([0]), other)
    assert both.ids.tolist() == [9, 8, 3]
    assert both.starts is not None
    assert both.starts.tolist() == [0, 0, 4]
    assert [place.tolist() for place in both.places(1) or ()] == [[0], [2]]


@given(st.text(max_size=40), st.lists(st.integers(0, 40), max_size=8))
def test_spans_in_bytes_are_the_bytes_before_them(text: str, edges: list[int]) -> None:
    """In order or not, touching or empty: a character's place in UTF-8 is the size of what goes before."""
    inside = [min(edge, len(text)) for edge in edges[: len(edges) // 2 * 2]]
    spans = tuple(zip(inside[::2], inside[1::2], strict=True))
    draft = Draft(0, Loss("assistant"), text.encode("utf-8", "replace").decode(), trained=spans)
    assert trained_bytes(draft) == tuple(
        (len(draft.text[:start].encode()), len(draft.text[:end].encode())) for start, end in spans
    )
