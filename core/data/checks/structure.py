"""What is odd in the conversation itself, whatever the template: roles, empty answers, flags, tool arguments."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from core.data.checks.facts import ModelFacts, Note, shown
from core.data.types import Conversation, Message


def structure_notes(conversation: Conversation, model: ModelFacts) -> Iterator[Note]:
    """Notes that need neither rendering nor tokens."""
    if conversation.kind in ("messages", "prompt-completion"):
        yield from _order(conversation)
        yield from _empty_answers(conversation)
        yield from _empty_questions(conversation)
        yield from _flags(conversation, model)
        yield from _arguments(conversation)
    if conversation.kind == "text-completion":
        yield from _joint(conversation, model)


def _order(conversation: Conversation) -> Iterator[Note]:
    row, messages = conversation.row, conversation.messages
    turns = [message for message in messages if message.role not in ("system", "developer")]
    leading = len(messages) - len(turns)
    if any(message.role in ("system", "developer") for message in messages[leading:]):
        yield Note("role-order", row, "a system message after the first turn")
    elif turns and turns[0].role == "assistant":
        yield Note("role-order", row, "the assistant speaks first")
    elif result := _orphan_result(messages):
        yield Note("role-order", row, result)
    for before, after in pairwise(turns):
        if before.role == after.role and before.role in ("user", "assistant") and not before.tool_calls:
            yield Note("same-role-twice", row, before.role)
            break
    if turns and turns[-1].role == "user" and any(turn.role == "assistant" for turn in turns):
        yield Note("ends-on-user", row)


def _orphan_result(messages: tuple[Message, ...]) -> str:
    called = False
    for message in messages:
        if message.role == "assistant":
            called = bool(message.tool_calls) or "<tool_call>" in str(message.content)
        elif message.role == "tool" and not called:
            return "a tool result without a call before it"
    return ""


def _empty_answers(conversation: Conversation) -> Iterator[Note]:
    for message in conversation.messages:
        if message.role == "assistant" and not message.tool_calls and not str(message.content or "").strip():
            yield Note("empty-answer", conversation.row)
            return


def _empty_questions(conversation: Conversation) -> Iterator[Note]:
    if any(
        message.role == "user" and not str(message.content or "").strip() for message in conversation.messages
    ):
        yield Note("empty-question", conversation.row)


def _flags(conversation: Conversation, model: ModelFacts) -> Iterator[Note]:
    flagged = [
        message
        for message in conversation.messages
        if message.train is not None or message.weight is not None
    ]
    if not flagged:
        return
    mode = model.section.loss_on
    if mode != "flags":
        differs = any((message.train is not False) != (message.role == "assistant") for message in flagged)
        if differs:
            yield Note("flags-unused", conversation.row, mode)
        return
    odd = next((message for message in flagged if message.weight not in (None, 0.0, 1.0)), None)
    if odd is not None:
        yield Note("weights-rounded", conversation.row, f"{odd.weight:g} counts as {int(bool(odd.train))}")


def _arguments(conversation: Conversation) -> Iterator[Note]:
    schemas = {_name_of(tool): tool for tool in conversation.tools}
    for message in conversation.messages:
        for call in message.tool_calls:
            function = call.get("function")
            if not isinstance(function, dict):
                continue
            arguments = function.get("arguments")
            if isinstance(arguments, str) and arguments.strip():
                yield Note("arguments-as-text", conversation.row, shown(arguments))
                return
            name = _stray_null(arguments, schemas.get(str(function.get("name"))))
            if name:
                yield Note("null-argument", conversation.row, name)
                return


def _name_of(tool: Any) -> str:
    inner = tool.get("function", tool) if isinstance(tool, dict) else {}
    return str(inner.get("name", "")) if isinstance(inner, dict) else ""


def _stray_null(arguments: Any, tool: Any) -> str:
    """The name of an argument that is null although the schema does not allow it; empty if there is none."""
    if not isinstance(arguments, dict):
        return ""
    for name, value in arguments.items():
        if value is None and not _may_be_null(name, tool):
            return str(name)
    return ""


def _may_be_null(name: str, tool: Any) -> bool:
    function = tool.get("function", tool) if isinstance(tool, dict) else {}
    parameters = function.get("parameters") if isinstance(function, dict) else None
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    schema = properties.get(name) if isinstance(properties, dict) else None
    if not isinstance(schema, dict):
        return False
    kinds = schema.get("type")
    listed = kinds if isinstance(kinds, list) else [kinds]
    options = schema.get("anyOf") or []
    return (
        "null" in listed
        or bool(schema.get("nullable"))
        or any(isinstance(option, dict) and option.get("type") == "null" for option in options)
    )


def _joint(conversation: Conversation, model: ModelFacts) -> Iterator[Note]:
    prompt, completion = conversation.text, conversation.completion
    if not completion.strip():
        yield Note("empty-answer", conversation.row)
    elif prompt and prompt[-1] == " ":
        yield Note(
            "joint-blank", conversation.row, "in a blank that ends the prompt and merges with the next word"
        )
    elif prompt and not prompt[-1].isspace() and not completion[0].isspace() and prompt[-1].isalnum():
        yield Note("joint-blank", conversation.row, "without a blank between two words")
    if model.drafter.template is not None:
        yield Note("no-chat-markup", conversation.row)
