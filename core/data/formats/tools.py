"""Tools and tool calls in their usual shapes, made into the one shape chat templates expect."""

from __future__ import annotations

from typing import Any

from core.data.formats.values import Unreadable, kind_of, parsed_json, text_of


def tools_of(value: Any) -> tuple[Any, ...]:
    """The row's tools: a list, or JSON text of one; a bare `{name, parameters}` is wrapped as a function.

    Raises Unreadable if it is neither.
    """
    value = parsed_json(value)
    if not value:
        return ()
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        raise Unreadable(
            "tools-unreadable",
            f"tools is {kind_of(value)} that is not a list of tools",
            "write tools as a list of JSON schemas, or as JSON text of one",
        )
    tools = [parsed_json(tool) for tool in value]
    odd = next((tool for tool in tools if not isinstance(tool, dict)), None)
    if odd is not None or None in tools:
        raise Unreadable(
            "tools-unreadable",
            f"tools holds {kind_of(odd)}, not a JSON schema",
            "write every tool as an object",
        )
    return tuple(_wrapped(tool) for tool in tools)


def calls_of(value: Any) -> tuple[dict[str, Any], ...]:
    """Tool calls of one message, arguments parsed from JSON text. Raises Unreadable for other shapes."""
    value = parsed_json(value)
    if not value:
        return ()
    calls = value if isinstance(value, list) else [value]
    return tuple(_call(parsed_json(call)) for call in calls)


def _wrapped(tool: dict[str, Any]) -> dict[str, Any]:
    if "function" not in tool and "name" in tool:
        return {"type": "function", "function": tool}
    return tool


def _call(call: Any) -> dict[str, Any]:
    if not isinstance(call, dict):
        raise _no_call(call)
    if isinstance(call.get("function"), dict):
        return {**call, "function": _named(call["function"])}
    named = _named(call)
    rest = {key: call[key] for key in ("id", "type") if key in call}
    return {"type": "function", **rest, "function": named}


def _named(function: dict[str, Any]) -> dict[str, Any]:
    name = function.get("name")
    if not isinstance(name, str):
        raise _no_call(function)
    text_of(name, "the name of a tool call")
    arguments = function.get("arguments", function.get("parameters", function.get("args", {})))
    return {"name": name, "arguments": parsed_json(arguments)}


def _no_call(value: Any) -> Unreadable:
    shown = str(value)
    return Unreadable(
        "tool-call-unreadable",
        f"a tool call is not an object with name and arguments: {shown[:60]}",
        'write it as {"name": ..., "arguments": {...}}',
    )
