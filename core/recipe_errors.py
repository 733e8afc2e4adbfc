"""A recipe's errors in words: the line, the key, what is wrong with it and the nearest known one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

Keys = Mapping[str, list[str]]  # the known keys of every section


def problems_in_words(error: ValidationError, place: Callable[[str], str], known: Keys) -> list[str]:
    """One sentence per key; `place` tells where a key was set.

    A key of several types fails once per type; those become one sentence too.
    """
    by_key: dict[tuple[Any, ...], list[Any]] = {}
    for item in error.errors():
        by_key.setdefault(item["loc"][:2], []).append(item)
    sentences = []
    for items in by_key.values():
        first, *others = [_in_words(item, place, known) for item in items]
        kinds = [str(item["msg"]).lower().removeprefix("input should be ") for item in items[1:]]
        sentences.append(" or ".join([first, *dict.fromkeys(kinds)]) if others else first)
    return sentences


def _in_words(error: Any, place: Callable[[str], str], known: Keys) -> str:
    """One pydantic error as a sentence with line, key and fix."""
    location = [str(part) for part in error["loc"]]
    # A union repeats the error for each member and appends the member's name; the key itself is enough.
    key = ".".join(location[:2])
    at = place(key)
    kind, given = error["type"], error.get("input")
    if kind == "extra_forbidden":
        candidates = list(known) if len(location) == 1 else known[location[0]]
        return f"{at}unknown key {key}{_nearest(location[-1], candidates, location[:-1], known)}"
    if kind == "literal_error":
        nearest = difflib.get_close_matches(
            str(given), re.findall(r"'([^']+)'", error["ctx"]["expected"]), n=1
        )
        hint = f'; did you mean "{nearest[0]}"?' if nearest else ""
        return f"{at}{key} = {given!r} is not one of {error['ctx']['expected']}{hint}"
    if kind == "model_type":
        return f"{at}{key} is a section; write [{key}] and its keys below"
    return f"{at}{key} = {given!r}: {error['msg'].lower()}"


def _nearest(word: str, candidates: list[str], prefix: list[str], known: Keys) -> str:
    close = difflib.get_close_matches(word, candidates, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {'.'.join([*prefix, close[0]])}?"
    elsewhere = [f"{section}.{word}" for section, keys in known.items() if word in keys]
    if elsewhere:
        return f"; it belongs to {elsewhere[0]}"
    return f"; known here: {', '.join(candidates)}"


def place_of(text: str, key: str) -> str:
    """ "line N: " for the line that sets `section.key` (or opens the section), empty if it is not there."""
    section, _, name = key.rpartition(".") if "." in key else (key, "", "")
    inside = False
    opened_at = 0
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[([^\[\]]+)\]", line)
        if header:
            inside = header.group(1).strip() == section
            opened_at = number if inside else opened_at
        elif _sets(line, section, name, inside=inside):
            return f"line {number}: "
    return f"line {opened_at}: " if opened_at else ""


def _sets(line: str, section: str, name: str, *, inside: bool) -> bool:
    """Whether a line of TOML sets the key: inside its section, as a dotted key, or in an inline table."""
    if inside:
        return bool(name) and re.match(rf"\s*[\"']?{re.escape(name)}[\"']?\s*=", line) is not None
    return re.match(rf"\s*{re.escape(section)}\s*(=|\.\s*{re.escape(name)}\s*=)", line) is not None
