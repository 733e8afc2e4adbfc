"""Reading single values of a record: text that must be text, JSON that may be a string, flags of many names."""

from __future__ import annotations

import json
import math
from typing import Any


class Unreadable(Exception):
    """A record that cannot become a conversation: code, cause and fix for the finding."""

    def __init__(self, code: str, cause: str, fix: str) -> None:
        super().__init__(cause)
        self.code = code
        self.cause = cause
        self.fix = fix


def text_of(value: Any, what: str, *, numbers: bool = False) -> str:
    """The value as text; None is empty text. With `numbers`, whole and decimal ones are written out.

    Raises Unreadable for anything else, for NaN, and for text that has no UTF-8 form.
    """
    if isinstance(value, str):
        if not value.isascii():
            _refuse_surrogates(value, what)
        return value
    if value is None:
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        raise Unreadable(
            "missing-value",
            f"{what} is {'NaN' if math.isnan(value) else 'infinite'}, a missing value",
            "fill it in, or take the row out",
        )
    if numbers and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise Unreadable(
        "wrong-type", f"{what} is {kind_of(value)}, not text", "write it as text, or map another column"
    )


def parsed_json(value: Any) -> Any:
    """The value of a JSON text; anything else, and text that is no JSON, as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def kind_of(value: Any) -> str:
    """A value's kind in words."""
    names = {
        dict: "an object",
        list: "a list",
        str: "text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return "null" if value is None else names.get(type(value), f"a {type(value).__name__}")


def _refuse_surrogates(text: str, what: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Unreadable(
            "lone-surrogate",
            f"{what} holds half of a surrogate pair (U+{ord(text[error.start]):04X}), which no tokenizer can read",
            "write the file again from its source; such halves come from cutting text by UTF-16 units",
        ) from None
