"""Damage in the characters of a text, each sign proven on the text itself."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from core.data.checks.facts import Note, shown

# Sequences that UTF-8 read as Windows-1252 leaves: a lead byte as a letter, then its continuation bytes.
_SUSPECT = re.compile(
    "[ÂÃâåæçèéðñã][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u2122]+"
)
_MISSING = frozenset({"nan", "null", "<na>", "n/a", "#n/a", "nat"})
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_INVISIBLE = re.compile("[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\u00ad]")


def encoding_notes(row: int, texts: list[str]) -> Iterator[Note]:
    """At most one note of each kind per row."""
    seen: set[str] = set()
    for text in texts:
        for note in _of_text(row, text):
            if note.code not in seen:
                seen.add(note.code)
                yield note


def _of_text(row: int, text: str) -> Iterator[Note]:
    if len(text) < 10 and text.strip().casefold() in _MISSING:
        yield Note("looks-missing", row, f'"{shown(text.strip())}"')
    control = _CONTROL.search(text)
    if control:
        yield Note("control-character", row, _around(text, control.start()))
    if text.isascii():
        return
    if "\ufffd" in text:
        yield Note("replacement-character", row, _around(text, text.index("\ufffd")))
    broken = _mojibake(text)
    if broken:
        yield Note("mojibake", row, broken)
    invisible = _INVISIBLE.search(text)
    if invisible:
        yield Note(
            "invisible-character", row, f"U+{ord(invisible[0]):04X} in {_around(text, invisible.start())}"
        )
    if not unicodedata.is_normalized("NFC", text):
        yield Note("normalised", row, _not_composed(text))


def _mojibake(text: str) -> str:
    """The first broken piece and what it was, proven by reading its bytes again; empty if there is none."""
    for match in _SUSPECT.finditer(text):
        try:
            meant = match[0].encode("cp1252").decode("utf-8")
        except (UnicodeEncodeError, UnicodeDecodeError):
            continue
        return f'"{match[0]}" was "{meant}"'
    return ""


def _not_composed(text: str) -> str:
    composed = unicodedata.normalize("NFC", text)
    place = next((i for i, (a, b) in enumerate(zip(text, composed, strict=False)) if a != b), 0)
    return f'"{ascii(text[max(place - 3, 0) : place + 3])[1:-1]}"'


def _around(text: str, place: int) -> str:
    return f'"{shown(text[max(place - 10, 0) : place + 10])}"'
