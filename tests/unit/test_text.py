"""Untrusted text is shown, never obeyed, and measured in cells."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.widgets.text import cut, cut_left, fit, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [bold]text[/]", "plain [bold]text[/]"),
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("a\tb\r\n", "a⇥b␍⏎"),
        ("a\u200bb", "a‹200B›b"),
        ("\u202eevil", "‹202E›evil"),
        ("\x7f\x9b", "␡‹009B›"),
        ("\ud800", "‹D800›"),
        ("é漢👍", "é漢👍"),
        ("❤\ufe0f", "❤‹FE0F›"),
        ("\U000e0041", "‹E0041›"),
    ],
)
def test_exact(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_lines_stay_lines_when_asked() -> None:
    assert visible("a\nb\x00", lines=True) == "a\nb␀"


@given(st.text())
def test_nothing_unprintable_is_left(text: str) -> None:
    assert visible(text).isprintable() or "\u3000" in text or "\xa0" in text or " " in visible(text)
    assert not any(character < " " or "\x7f" <= character < "\xa0" for character in visible(text))


@given(st.text(), st.integers(0, 40))
def test_fit_has_exactly_that_many_cells(text: str, cells: int) -> None:
    assert cell_len(fit(visible(text), cells)) == cells


def test_cutting() -> None:
    assert fit("abcdef", 4) == "abc…"
    assert fit("漢字漢字", 4) == "漢… "
    assert cut("abc", 10) == "abc"
    assert cut_left("/a/long/path", 6) == "…/path"
