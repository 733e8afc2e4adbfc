"""Text from data, models and logs is shown, never obeyed.

`visible` turns whatever could steer a terminal or deceive a reader into marks that can be read: control
characters, ANSI escapes, zero-width and bidirectional characters, lone surrogates. Hand its result to Rich
or Textual as plain content (`Content(...)`, `Text(...)`, `Static(markup=False)`, a `Segment`), never as
markup; then brackets are brackets. Widths are counted in terminal cells, never with `len`.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from rich.cells import cell_len, set_cell_size

# Categories that move the cursor, join, hide or reorder: controls, formats, surrogates, private and unassigned
# characters, line and paragraph separators. Variation selectors are marks (Mn), but change a cell's width.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(text: str, *, lines: bool = False) -> str:
    """The text with everything invisible made visible; printable text is returned as it is.

    Control characters become their one-cell pictures (␛ ␀ ␍), a tab `⇥`, anything else hidden `‹200B›`,
    its code point. With `lines`, newlines stay newlines; otherwise they become `⏎`.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(character if lines and character == "\n" else _shown(character) for character in text)


@lru_cache(maxsize=4096)
def _shown(character: str) -> str:
    code = ord(character)
    if character == "\n":
        return "⏎"
    if character == "\t":
        return "⇥"
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    hidden = (
        unicodedata.category(character) in _HIDDEN or 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF
    )
    return f"‹{code:04X}›" if hidden else character


def fit(text: str, cells: int) -> str:
    """The text at exactly that many cells: padded with spaces, or cut with an ellipsis."""
    if cells <= 0:
        return ""
    if cell_len(text) > cells:
        return set_cell_size(set_cell_size(text, cells - 1).rstrip() + "…", cells)
    return set_cell_size(text, cells)


def cut(text: str, cells: int) -> str:
    """As `fit`, without padding."""
    return text if cell_len(text) <= cells else fit(text, cells).rstrip()


def cut_left(text: str, cells: int) -> str:
    """The end of a text that is too wide, for paths: `…/long/name.toml`."""
    while cell_len(text) > cells > 0:
        text = "…" + text[2:]
    return text if cells > 0 else ""


def wrap(text: str, cells: int) -> list[str]:
    """The text as lines of at most that many cells, broken at spaces where there are any. Newlines stay."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in _words(paragraph):
            if cell_len(line) + cell_len(word.rstrip()) <= cells:
                line += word
                continue
            if line:
                lines.append(line.rstrip())
            *full, line = _pieces(word, cells)
            lines += full
        lines.append(line.rstrip() if line.strip() else "")
    return lines


def _words(text: str) -> list[str]:
    """Words with the spaces that follow them; leading spaces are a word of their own."""
    words, start = [], 0
    while start < len(text):
        end = text.find(" ", start)
        end = len(text) if end < 0 else end
        while end < len(text) and text[end] == " ":
            end += 1
        words.append(text[start:end])
        start = end
    return words


def _pieces(word: str, cells: int) -> list[str]:
    """A word cut into pieces that fit."""
    pieces = [""]
    for character in word:
        if cell_len(pieces[-1] + character) > cells and pieces[-1]:
            pieces.append("")
        pieces[-1] += character
    return pieces
