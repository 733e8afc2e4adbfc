"""Tokens in lines: nothing is lost, nothing is too wide, and every token can be found again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from core.data.types import Token
from tui.widgets.token_layout import lay_out


def token(text: str, number: int = 5) -> Token:
    return Token(number, text, -100, "user", 0, "content", "", (0, 0))


def texts(
    tokens: list[Token], width: int, special: frozenset[int] = frozenset(), *, ids: bool = False
) -> list[str]:
    layout = lay_out(tokens, range(len(tokens)), width, special, ids=ids)
    return ["".join(piece.text for piece in line) for line in layout.lines]


def test_lines_break_at_the_width_and_after_a_new_line() -> None:
    tokens = [token(text) for text in ("Say", " the", " word", "\n", "now")]
    assert texts(tokens, 9) == ["Say the", " word⏎", "now"]


def test_blanks_and_special_tokens_can_be_seen() -> None:
    assert texts([token("  "), token("a  "), token("", 7), token("<s>", 7)], 40, frozenset({7})) == [
        "··a··▏▕▏<s>▕"
    ]


def test_ids_get_room() -> None:
    assert texts([token("a", 12345), token("long word", 1)], 40, ids=True) == ["a     long word "]


@given(st.lists(st.text(max_size=30), max_size=30), st.integers(4, 30), st.booleans())
def test_nothing_is_lost_or_too_wide(words: list[str], width: int, ids: bool) -> None:
    tokens = [token(word, number) for number, word in enumerate(words)]
    layout = lay_out(tokens, range(len(tokens)), width, frozenset(), ids=ids)
    assert all(sum(piece.cells for piece in line) <= width for line in layout.lines)
    assert all(piece.cells == cell_len(piece.text) for line in layout.lines for piece in line)
    seen = [piece.token for line in layout.lines for piece in line]
    assert sorted(set(seen)) == list(range(len(tokens))) and seen == sorted(seen)
    for index in range(len(tokens)):
        line = layout.lines[layout.line_of(index)]
        assert any(piece.token == index for piece in line)
