"""One turn at a time: role names, content parts, reasoning, tool calls and per-message flags of every dialect."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from core.data.formats.tools import calls_of
from core.data.formats.values import Unreadable, kind_of, parsed_json, text_of
from core.data.types import Message

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
_ROLE_NAMES = {
    "human": "user", "prompter": "user", "instruction": "user", "question": "user", "customer": "user",
    "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "bard": "assistant", "bing": "assistant",
    "model": "assistant", "ai": "assistant", "chatbot": "assistant", "answer": "assistant", "response": "assistant",
    "function_call": "assistant", "tool_call": "assistant", "tool_calls": "assistant",
    "observation": "tool", "function": "tool", "function_response": "tool", "tool_response": "tool",
    "tool_result": "tool", "ipython": "tool", "environment": "tool",
    "sys": "system",
}  # fmt: skip
_PLAIN_ROLES = ("user", "assistant", "system")
_CALL_ROLES = frozenset({"function_call", "tool_call", "tool_calls"})
_ROLE_KEYS = ("role", "from", "speaker", "author")
_CONTENT_KEYS = ("content", "value", "text")
_REASONING_KEYS = ("reasoning_content", "thinking", "reasoning")
_LABELS = ("name", "tool_call_id")
_FLAG_KEYS = ("train", "loss", "training")
_WEIGHT_KEYS = ("weight", "loss_weight", "loss_scale")
_KNOWN_KEYS = frozenset(
    {*_ROLE_KEYS, *_CONTENT_KEYS, *_REASONING_KEYS, *_LABELS, *_FLAG_KEYS, *_WEIGHT_KEYS, "masked"}
    | {"tool_calls", "function_call"}
)
_TEXT_PARTS = ("text", "input_text", "output_text")


def messages_of(turns: list[Any], columns: Mapping[str, str]) -> tuple[Message, ...]:
    """Turns of a record as messages. `columns` may map "role" and "content". Raises Unreadable with the turn's number."""
    if not columns and all(map(is_plain, turns)):
        return plain_messages(turns)
    role_keys = (columns["role"],) if "role" in columns else _ROLE_KEYS
    content_keys = (columns["content"],) if "content" in columns else _CONTENT_KEYS
    return tuple(_message(turn, number, role_keys, content_keys) for number, turn in enumerate(turns, 1))


def plain_messages(turns: list[dict[str, Any]]) -> tuple[Message, ...]:
    """Messages of turns that are all plain (`is_plain`). Raises Unreadable for text without a UTF-8 form."""
    for number, turn in enumerate(turns, 1):
        if not turn["content"].isascii():
            text_of(turn["content"], f"the content of turn {number}")
    return tuple([Message(turn["role"], turn["content"]) for turn in turns])


def is_plain(turn: Any) -> bool:
    """Whether a turn is a known role and a text and nothing else: most turns are, and need no search."""
    return (
        type(turn) is dict
        and len(turn) == 2
        and turn.get("role") in _PLAIN_ROLES
        and type(turn.get("content")) is str
    )


def is_turns(value: Any) -> bool:
    """Whether a value is a list of objects that can be turns."""
    return isinstance(value, list) and bool(value) and all(isinstance(turn, dict) for turn in value)


def roles_in_words(turns: list[Any]) -> str:
    """Which role names were read as which, for the line that tells how a row was read; empty if none changed."""
    names = dict.fromkeys(
        str(turn.get("role", turn.get("from", ""))) for turn in turns if isinstance(turn, dict)
    )
    changed = [f"{name} is {_role_of(name)}" for name in names if _role_of(name) != name]
    return ", ".join(changed)


def key_of_content(turns: list[Any]) -> tuple[str, str]:
    """The keys that hold role and content in the first turn, for the same line."""
    first = turns[0]
    role = next((key for key in _ROLE_KEYS if key in first), "role")
    return role, next((key for key in _CONTENT_KEYS if key in first), "content")


def _message(turn: Any, number: int, role_keys: tuple[str, ...], content_keys: tuple[str, ...]) -> Message:
    if not isinstance(turn, dict):
        raise Unreadable(
            "wrong-type", f"turn {number} is {kind_of(turn)}, not an object", "write role and content"
        )
    named = next((turn[key] for key in role_keys if turn.get(key) is not None), None)
    if not isinstance(named, str):
        raise Unreadable(
            "unknown-message-keys",
            f"turn {number} names no role; its keys are {', '.join(map(str, list(turn)[:6])) or 'none'}",
            'rename them to role and content, or set data.columns = {role = "...", content = "..."}',
        )
    role = _role_of(named)
    content: Any = next((turn[key] for key in content_keys if turn.get(key) is not None), None)
    reasoning = next((turn[key] for key in _REASONING_KEYS if turn.get(key) is not None), None)
    calls = calls_of(turn.get("tool_calls") or turn.get("function_call"))
    if content is None and reasoning is None and not calls:
        _require_content(turn, number, role, content_keys)
    what = f"the content of turn {number}"
    if named.lower() in _CALL_ROLES:
        content, calls = None, (*calls, *calls_of(content))
    elif isinstance(content, list):
        content, thought, called = _parts(content, what)
        reasoning = thought if reasoning is None else reasoning
        calls = (*calls, *called)
    return Message(
        role=role,
        content=text_of(content, what),
        reasoning=None if reasoning is None else text_of(reasoning, f"the reasoning of turn {number}"),
        tool_calls=calls,
        extra={
            key: _label(turn[key], f"{key} of turn {number}") for key in _LABELS if turn.get(key) is not None
        },
        train=_flag(turn, number),
        weight=_weight(turn, number),
    )


def _role_of(named: str) -> str:
    """The role a name stands for; letters of any case. A name that is not known is kept as it is."""
    lower = named.lower()
    return lower if lower in ROLES else _ROLE_NAMES.get(lower, named)


def _require_content(turn: dict[str, Any], number: int, role: str, content_keys: tuple[str, ...]) -> None:
    """Raise Unreadable for a turn that says nothing. A null is a reply of the assistant or a tool without text."""
    if role != "user" and any(key in turn for key in content_keys):
        return
    unknown = [str(key) for key in turn if key not in _KNOWN_KEYS and key not in content_keys]
    if unknown:
        raise Unreadable(
            "unknown-message-keys",
            f"turn {number} has no content; its keys are {', '.join(list(map(str, turn))[:6])}",
            'rename them to role and content, or set data.columns = {role = "...", content = "..."}',
        )
    raise Unreadable(
        "missing-content",
        f"turn {number} ({role}) has no content",
        "write the text as content, or take the row out",
    )


def _label(value: Any, what: str) -> Any:
    """A name or id that templates print: text or a number."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise Unreadable("wrong-type", f"{what} is {kind_of(value)}, not text", "write it as text")
    return value


def _parts(parts: list[Any], what: str) -> tuple[str, str | None, tuple[dict[str, Any], ...]]:
    """Typed content parts as text, reasoning and tool calls."""
    text: list[str] = []
    reasoning: list[str] = []
    calls: tuple[dict[str, Any], ...] = ()
    for part in parts:
        if isinstance(part, str):
            text.append(text_of(part, what))
            continue
        if not isinstance(part, dict):
            raise Unreadable(
                "wrong-type", f"{what} has a part that is {kind_of(part)}", "write parts as objects"
            )
        kind = part.get("type", "text")
        value = next(
            (part[key] for key in ("text", "value", "content", kind) if part.get(key) is not None), None
        )
        if kind in _TEXT_PARTS:
            text.append(text_of(value, what))
        elif kind in ("reasoning", "thinking"):
            reasoning.append(text_of(value, what))
        elif kind in ("tool_call", "tool_use", "function_call"):
            calls = (*calls, *calls_of(value if value is not None else part))
        elif kind in ("tool_result", "tool_response"):
            text.append(text_of(value, what))
        else:
            raise Unreadable(
                "not-text",
                f"{what} has a part of type {kind}; only text is trained here",
                "take such rows out",
            )
    return "".join(text), "".join(reasoning) if reasoning else None, calls


def _flag(turn: dict[str, Any], number: int) -> bool | None:
    """Whether the data asks for this turn to be trained; None if it does not say. Raises Unreadable for other types."""
    for key in _FLAG_KEYS:
        value = parsed_json(turn.get(key))
        if isinstance(value, (bool, int, float)):
            return bool(value)
        _refuse_other(value, f"{key} of turn {number}", "true or false")
    masked = turn.get("masked")
    if isinstance(masked, (bool, int)):
        return not masked
    _refuse_other(masked, f"masked of turn {number}", "true or false")
    weight = _weight(turn, number)
    return None if weight is None else weight > 0


def _weight(turn: dict[str, Any], number: int) -> float | None:
    for key in _WEIGHT_KEYS:
        value = turn.get(key)
        if isinstance(value, (int, float)) and math.isfinite(value):
            return float(value)
        _refuse_other(value, f"{key} of turn {number}", "a number")
    return None


def _refuse_other(value: Any, what: str, wanted: str) -> None:
    if value is not None:
        raise Unreadable(
            "wrong-type", f"{what} is {kind_of(value)}, not {wanted}", f"write {wanted}, or leave it out"
        )
