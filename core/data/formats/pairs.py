"""Records of one exchange: Alpaca, question and answer, query and response, prompt and completion."""

from __future__ import annotations

from typing import Any

from core.data.formats.values import Unreadable, kind_of, parsed_json, text_of
from core.data.types import Message

USER_FIELDS = ("instruction", "prompt", "question", "query", "input", "user", "human", "problem", "source")
ANSWER_FIELDS = (
    "output", "completion", "response", "answer", "chosen_response", "assistant", "gpt", "solution", "target",
)  # fmt: skip
_CONTEXT_FIELDS = ("input", "context")
SYSTEM_FIELDS = ("system", "system_prompt")


def pair_fields(raw: dict[str, Any]) -> tuple[str, str] | None:
    """The columns that hold question and answer, or None."""
    user = next((key for key in USER_FIELDS if key in raw), None)
    answer = next((key for key in ANSWER_FIELDS if key in raw and key != user), None)
    return (user, answer) if user and answer else None


def system_messages(raw: dict[str, Any]) -> tuple[Message, ...]:
    """The system message of a record that keeps it in a column of its own."""
    for key in SYSTEM_FIELDS:
        text = text_of(raw.get(key), key)
        if text:
            return (Message("system", text),)
    return ()


def pair_messages(raw: dict[str, Any], user: str, answer: str) -> tuple[tuple[Message, ...], str]:
    """System, history, question and answer as messages, and how they were read, in words."""
    question = text_of(raw[user], user, numbers=True)
    how = f"{user} is the user's turn, {answer} the assistant's"
    context = next((key for key in _CONTEXT_FIELDS if user == "instruction" and raw.get(key)), None)
    if context:
        question = f"{question}\n{text_of(raw[context], context, numbers=True)}"
        how = f"{user} and {context}, joined by a new line, are the user's turn, {answer} the assistant's"
    messages = (
        *system_messages(raw),
        *history_messages(raw.get("history")),
        Message("user", question),
        Message("assistant", text_of(raw[answer], answer, numbers=True)),
    )
    return messages, how


def history_messages(value: Any) -> tuple[Message, ...]:
    """Earlier exchanges: `[[question, answer], ...]`, also as JSON text."""
    history = parsed_json(value)
    if not history:
        return ()
    if not isinstance(history, list):
        raise Unreadable(
            "wrong-type", f"history is {kind_of(history)}, not a list of pairs", "write [[question, answer]]"
        )
    messages: list[Message] = []
    for pair in history:
        if not isinstance(pair, list) or len(pair) != 2:
            raise Unreadable(
                "wrong-type", "history holds something other than pairs", "write [[question, answer]]"
            )
        messages += [
            Message("user", text_of(pair[0], "history")),
            Message("assistant", text_of(pair[1], "history")),
        ]
    return tuple(messages)


def exchange_messages(exchanges: list[Any]) -> tuple[Message, ...]:
    """A list of `{human, assistant}` objects, each one exchange."""
    messages: list[Message] = []
    for exchange in exchanges:
        fields = pair_fields(exchange)
        if fields is None:
            raise Unreadable(
                "unknown-message-keys",
                f"an exchange has the keys {', '.join(map(str, list(exchange)[:6]))}",
                "name them human and assistant",
            )
        messages += [
            Message("user", text_of(exchange[fields[0]], fields[0])),
            Message("assistant", text_of(exchange[fields[1]], fields[1])),
        ]
    return tuple(messages)
