"""The texts of a conversation that a template prints, and a copy of it with a sentinel in place of each.

This is the first half of sentinel alignment: rendering the copy shows where every field lands, without any
knowledge of the template. A sentinel is U+E000, a running number, U+E001.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from core.data.types import Part

SENTINEL = re.compile("(?:\ue000|\\\\ue000)([0-9]+)(?:\ue001|\\\\ue001)")
_THINKING = re.compile(r"(\s*<think>\s*)(.*?)(\s*</think>\s*)(.*?)(\s*)", re.DOTALL)
_REASONING_KEYS = frozenset({"reasoning_content", "thinking", "reasoning"})
_PLAIN_KEYS = frozenset({"role", "content"})


def sentinel(number: int) -> str:
    return f"\ue000{number}\ue001"


@dataclass(frozen=True, slots=True)
class Field:
    """One text of the data: which message it belongs to, and as what."""

    message: int
    role: str
    part: Part


@dataclass(slots=True)
class Fields:
    """All fields of one conversation, in order, and the key of its shape.

    Two conversations of equal shape (same roles, keys, tools and untouched values) render to the same
    literals around their fields, so the work of finding the literals is done once per shape.
    """

    texts: list[str]
    shape: tuple[Any, ...]


def fields_of(messages: list[dict[str, Any]], tools: list[Any] | None, kwargs: dict[str, Any]) -> Fields:
    """The field texts and the shape; cheap, for every row."""
    texts: list[str] = []
    shape: list[Any] = []
    for message in messages:
        content = message.get("content")
        role = message.get("role")
        if len(message) == 2 and type(content) is str and type(role) is str and _is_plain(role, content):
            texts.append(content)
            shape.append(role)
        else:
            walk = _Walk(len(texts), keep=False)
            shape.append(repr(walk.message(message, 0)))
            texts += walk.texts
    if tools or kwargs:
        shape.append(repr((tools, kwargs)))
    return Fields(texts, tuple(shape))


def with_sentinels(messages: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[Field]]:
    """The messages with a sentinel for every field, and what each field is; once per shape."""
    walk = _Walk(0, keep=True)
    copies = [walk.message(message, index) for index, message in enumerate(messages)]
    return copies, walk.fields


def _is_plain(role: str, content: str) -> bool:
    return bool(content) and not content.isspace() and (role != "assistant" or "<think>" not in content)


class _Walk:
    """One pass over messages that collects fields and builds the sentinel copy."""

    def __init__(self, first: int, *, keep: bool) -> None:
        self.texts: list[str] = []
        self.fields: list[Field] = []
        self._first = first
        self._keep = keep
        self._message = 0
        self._role = ""

    def message(self, message: dict[str, Any], index: int) -> dict[str, Any]:
        self._message, self._role = index, str(message.get("role", ""))
        reasoning: str | None = None
        copy: dict[str, Any] = {}
        for key, value in message.items():
            if key == "content":
                copy[key] = self._content(value)
            elif key in _REASONING_KEYS and isinstance(value, str):
                # transformers hands one reasoning over under several names: they share a sentinel.
                reasoning = self._field(value, "thinking") if reasoning is None else reasoning
                copy[key] = reasoning
            elif key == "tool_calls" and isinstance(value, list | tuple):
                copy[key] = [self._call(call) for call in value]
            else:
                copy[key] = value
        return copy

    def _field(self, text: str, part: Part) -> str:
        if not text or text.isspace():
            return text  # templates branch on emptiness, so an empty text stays itself
        number = self._first + len(self.texts)
        self.texts.append(text)
        if self._keep:
            self.fields.append(Field(self._message, self._role, part))
        return sentinel(number)

    def _content(self, content: Any) -> Any:
        part: Part = "tool result" if self._role in TOOL_ROLES else "content"
        if isinstance(content, str):
            if self._role == "assistant" and (match := _THINKING.fullmatch(content)):
                before, inner, between, answer, after = match.groups()
                return (
                    before + self._field(inner, "thinking") + between + self._field(answer, "content") + after
                )
            return self._field(content, part)
        if isinstance(content, list):
            return [self._content_part(item, part) for item in content]
        return content

    def _content_part(self, item: Any, part: Part) -> Any:
        if isinstance(item, dict) and isinstance(item.get("text"), str):
            return {**item, "text": self._field(item["text"], part)}
        return item

    def _call(self, call: Any) -> Any:
        if not isinstance(call, dict):
            return call
        copy = dict(call)
        if isinstance(copy.get("function"), dict):
            copy["function"] = self._named(copy["function"])
        return self._named(copy)

    def _named(self, call: dict[str, Any]) -> dict[str, Any]:
        copy = dict(call)
        if isinstance(copy.get("name"), str):
            copy["name"] = self._field(copy["name"], "tool call")
        if "arguments" in copy:
            copy["arguments"] = self._leaves(copy["arguments"])
        return copy

    def _leaves(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._field(value, "tool call")
        if isinstance(value, dict):
            return {key: self._leaves(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._leaves(item) for item in value]
        return value


TOOL_ROLES = frozenset({"tool", "tool_response", "tool_results", "ipython", "observation", "function"})
