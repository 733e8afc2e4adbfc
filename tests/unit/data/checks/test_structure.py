"""What is odd in a conversation itself, without a template's doing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.data.checks.facts import ModelFacts
from core.data.checks.model import model_facts
from core.data.checks.structure import structure_notes
from core.data.drafting import Drafter
from core.data.tokenizer import load_tokenizer
from core.data.types import Conversation, Message
from core.recipe import Recipe, with_changes

DEMO = Path(__file__).resolve().parents[4] / "core" / "demo" / "model"
USER, ANSWER = Message("user", "Hi"), Message("assistant", "Yes.")
CALL = {"type": "function", "function": {"name": "find", "arguments": {"what": "key"}}}
SCHEMA = {"type": "function", "function": {"name": "find", "parameters": {"properties": {
    "what": {"type": "string"}, "a": {"type": ["string", "null"]}, "b": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    "c": {"type": "string", "nullable": True}}}}}  # fmt: skip


def model(loss_on: str = "auto") -> ModelFacts:
    recipe = with_changes(Recipe(), {"data.loss_on": loss_on})
    return model_facts(recipe, DEMO, Drafter(recipe.data, load_tokenizer(DEMO)))


def codes(*messages: Message, loss_on: str = "auto", **more: Any) -> list[tuple[str, str]]:
    conversation = Conversation(0, "messages", messages, **more)
    return [(note.code, note.detail) for note in structure_notes(conversation, model(loss_on))]


def call(**arguments: Any) -> Message:
    return Message(
        "assistant", "", tool_calls=({**CALL, "function": {"name": "find", "arguments": arguments}},)
    )


def test_a_sound_conversation() -> None:
    tool = Message("tool", "below the stone")
    assert (
        codes(Message("system", "Be brief."), USER, call(what="key"), tool, tool, ANSWER, tools=(SCHEMA,))
        == []
    )


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (
            (USER, Message("system", "Be brief."), ANSWER),
            ("role-order", "a system message after the first turn"),
        ),
        ((ANSWER, USER, ANSWER), ("role-order", "the assistant speaks first")),
        ((USER, Message("tool", "5"), ANSWER), ("role-order", "a tool result without a call before it")),
        ((USER, USER, ANSWER), ("same-role-twice", "user")),
        ((USER, ANSWER, ANSWER), ("same-role-twice", "assistant")),
        ((USER, ANSWER, USER), ("ends-on-user", "")),
        ((USER, Message("assistant", " \n")), ("empty-answer", "")),
        ((USER, Message("assistant", None)), ("empty-answer", "")),
    ],
)
def test_order_and_emptiness(messages: tuple[Message, ...], expected: tuple[str, str]) -> None:
    assert codes(*messages) == [expected]


def test_a_call_written_as_text_counts_as_a_call() -> None:
    assert (
        codes(USER, Message("assistant", "<tool_call>find</tool_call>"), Message("tool", "5"), ANSWER) == []
    )


def test_flags_matter_only_where_they_differ_from_the_mode() -> None:
    masked = Message("assistant", "Yes.", train=False)
    assert codes(USER, masked) == [("flags-unused", "auto")]
    assert codes(USER, masked, loss_on="flags") == []
    assert codes(Message("user", "Hi", train=False), Message("assistant", "Yes.", train=True)) == []
    half = Message("assistant", "Yes.", train=True, weight=0.25)
    assert codes(USER, half, loss_on="flags") == [("weights-rounded", "0.25 counts as 1")]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"what": None}, "what"),
        ({"other": None}, "other"),
        ({"a": None}, ""),
        ({"b": None}, ""),
        ({"c": None}, ""),
    ],
)
def test_nulls_that_the_schema_does_not_allow(arguments: dict[str, Any], told: str) -> None:
    found = codes(USER, call(**arguments), Message("tool", "5"), ANSWER, tools=(SCHEMA,))
    assert found == ([("null-argument", told)] if told else [])


def test_where_strings_meet() -> None:
    def joint(prompt: str, completion: str) -> list[str]:
        row = Conversation(0, "text-completion", text=prompt, completion=completion)
        return [note.code for note in structure_notes(row, model())]

    assert joint("The sky is", " blue.") == ["no-chat-markup"] == joint("Q: why?\n", "Because.")
    assert joint("The sky is ", "blue.") == ["joint-blank", "no-chat-markup"] == joint("The sky is", "blue.")
    assert joint("The sky is", " ") == ["empty-answer", "no-chat-markup"]
