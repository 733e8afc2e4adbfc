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
