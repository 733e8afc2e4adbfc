"""Tokens in lines: nothing is lost, nothing is too wide, and every token can be found again."""

from __future__ import annotations

import pickle

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from core.data.tokens import Cause, Tokens
from core.data.types import Token
from tui.widgets.token_layout import Layout, Piece, readable


def row(words: list[str], numbers: list[int] | None = None) -> Tokens:
    """A row of tokens of these texts; the second of each two is trained."""
    ids = np.asarray(numbers or range(len(words)), dtype=np.int32)
    different, piece = np.unique(ids, return_inverse=True)
    text_of = dict(zip(ids.tolist(), words, strict=True))
    place = np.arange(len(words), dtype=np.int32)
    return Tokens(
        ids,
        np.where(place % 2, ids, np.int32(-100)),
        place,
        place + 1,
        piece.astype(np.int32),
        place % 2,
        tuple(text_of[number].encode() for number in different.tolist()),
        (Cause("user", 0, "content", "no"), Cause("assistant", 1, "content", "yes")),
    )


def lines(tokens: Tokens, width: int, special: frozenset[int] = frozenset(), *, ids: bool = False,
    shown: list[int] | None = None) -> list[tuple[Piece, ...]]:  # fmt: skip
    chosen = np.asarray(range(len(tokens)) if shown is None else shown, dtype=np.int64)
    layout = Layout(tokens, chosen, width, special, ids=ids)
    return [layout.line(number) for number in range(len(layout))]


def texts(
    tokens: Tokens, width: int, special: frozenset[int] = frozenset(), *, ids: bool = False
) -> list[str]:
    return ["".join(piece.text for piece in line) for line in lines(tokens, width, special, ids=ids)]


def test_tokens_are_the_columns_read_one_by_one() -> None:
    tokens = row(["a", "é", "a"], [3, 9, 3])
    assert list(tokens) == [
        Token(3, "a", -100, "user", 0, "content", "no", (0, 1), b"a"),
        Token(9, "é", 9, "assistant", 1, "content", "yes", (1, 2), "é".encode()),
        Token(3, "a", -100, "user", 0, "content", "no", (2, 3), b"a"),
    ]
    assert list(tokens[1:]) == list(tokens)[1:]
    assert list(pickle.loads(pickle.dumps(tokens))) == list(tokens)
    assert tokens.trained.tolist() == [False, True, False]


def test_parts_of_a_character_show_their_bytes() -> None:
    assert readable("🤖".encode()[:2]) == "‹F0›‹9F›" and readable("a🤖".encode()) == "a🤖"
    assert readable("\ufffd".encode()) == "\ufffd"  # the character itself, in the text


def test_lines_break_at_the_width_and_after_a_new_line() -> None:
    assert texts(row(["Say", " the", " word", "\n", "now"]), 9) == ["Say the", " word⏎", "now"]


def test_blanks_and_special_tokens_can_be_seen() -> None:
    assert texts(row(["  ", "a  ", "", "<s>"], [4, 5, 6, 7]), 40, frozenset({6, 7})) == ["··a··▏▕▏<s>▕"]


def test_ids_get_room() -> None:
    assert texts(row(["a", "long word"], [12345, 1]), 40, ids=True) == ["a     long word "]


def test_a_token_wider_than_a_line_goes_on_below() -> None:
    assert texts(row(["ab", "0123456789", "c"]), 4) == ["ab", "0123", "4567", "89c"]


@given(
    st.lists(st.sampled_from(["a", " bc", "\n", "longer than that", "的", "🤖", "x\n", ""]) | st.text(max_size=30), max_size=40),
    st.integers(4, 30), st.booleans(), st.booleans(),
)  # fmt: skip
def test_nothing_is_lost_or_too_wide(words: list[str], width: int, ids: bool, some: bool) -> None:
    tokens = row(words)
    shown = list(range(0, len(tokens), 2 if some else 1))
    layout = Layout(tokens, np.asarray(shown, dtype=np.int64), width, frozenset(), ids=ids)
    found = [layout.line(number) for number in range(len(layout))]
    assert found == by_the_book(tokens, shown, width, ids=ids)
    assert all(sum(piece.cells for piece in line) <= width for line in found)
    assert all(piece.cells == cell_len(piece.text) for line in found for piece in line)
    for number, line in enumerate(found):
        assert layout.first(number) == line[0].token
    for index in shown:
        assert any(piece.token == index for piece in layout.line(layout.line_of(index)))


def by_the_book(tokens: Tokens, shown: list[int], width: int, *, ids: bool) -> list[tuple[Piece, ...]]:
    """The same token by token: a line ends where the next token does not fit, or after a new line."""
    found: list[tuple[Piece, ...]] = []
    line: list[Piece] = []
    for index in shown:
        alone = Layout(tokens, np.asarray([index]), 1000, frozenset(), ids=ids).line(0)
        text, cells = "".join(piece.text for piece in alone), sum(piece.cells for piece in alone)
        if line and sum(piece.cells for piece in line) + cells > width:
            found.append(tuple(line))
            line = []
        while cells > width:
            head = text
            while cell_len(head) > width:
                head = head[:-1]
            found.append((Piece(index, head, cell_len(head)),))
            text = text[len(head) :]
            cells = cell_len(text)
        line.append(Piece(index, text, cells))
        if tokens.text(index).endswith("\n"):
            found.append(tuple(line))
            line = []
    return [*found, tuple(line)] if line else found
