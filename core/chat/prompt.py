"""The prompt as the model reads it: the training's own template, up to where the answer begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import TunedeckError

ANSWER = "tunedeckanswer"
MIN_ROOM = 32  # new tokens that must fit before older messages are left out


@dataclass(frozen=True, slots=True)
class Prompt:
    """Ids and text of a prompt. `left_out` counts old messages that did not fit the context."""

    ids: tuple[int, ...]
    text: str
    warnings: tuple[str, ...] = ()
    left_out: int = 0


def plain_prompt(tokenizer: Any, text: str) -> Prompt:
    """Plain completion: the text as it stands, with the special tokens the tokenizer puts around texts."""
    ids = tuple(tokenizer.encode(text))
    if ids and ids[-1] == tokenizer.eos_token_id:  # an end token would end the text before it goes on
        ids = ids[:-1]
    return Prompt(ids, text)


def chat_prompt(
    tokenizer: Any,
    messages: Sequence[dict[str, Any]],
    *,
    tools: Sequence[Any] = (),
    context_length: int = 0,
    room: int = MIN_ROOM,
) -> Prompt:
    """Render a conversation and open the assistant's turn.

    If the context (0: unknown) cannot hold the prompt and `room` new tokens, the oldest messages after the system
    message are left out, in whole turns, and a warning says so. Raises TunedeckError if the template refuses
    the conversation or the last message alone is too long.
    """
    kept = list(messages)
    head = 1 if kept and kept[0]["role"] == "system" else 0
    while True:
        prompt = _rendered(tokenizer, kept, tools)
        if not context_length or len(prompt.ids) + min(room, MIN_ROOM) <= context_length:
            break
        next_user = next(
            (index for index in range(head + 1, len(kept)) if kept[index]["role"] == "user"), None
        )
        if next_user is None:
            raise TunedeckError(
                f"the message makes a prompt of {len(prompt.ids):,} tokens and the model holds {context_length:,}",
                where="context",
                fix="shorten it, or use a model with a longer context",
            )
        del kept[head:next_user]
    left_out = len(messages) - len(kept)
    warnings = training_difference(tokenizer, kept, tools, prompt)
    if left_out:
        warnings += (
            f"the context of {context_length:,} tokens is full: the oldest {left_out} messages were not shown to the model",
        )
    return Prompt(prompt.ids, prompt.text, warnings, left_out)


def training_difference(
    tokenizer: Any, messages: Sequence[dict[str, Any]], tools: Sequence[Any], prompt: Prompt
) -> tuple[str, ...]:
    """Where the prompt is not what the training saw before the answer; empty if it is the same.

    The training rendering of the same conversation with an answer must begin with the prompt, as text and as tokens.
    What the template writes between the two is the model's to say, and was trained so.
    """
    answered = [*messages, {"role": "assistant", "content": ANSWER}]
    try:
        trained = tokenizer.apply_chat_template(answered, tools=list(tools) or None, tokenize=False)
    except Exception as error:
        return (f"the template does not render the answered conversation ({error}); not compared",)
    if not trained.startswith(prompt.text):
        at = _common_length(trained, prompt.text)
        return (
            "the prompt is not what the training put before an answer: "
            f"after {prompt.text[max(0, at - 20) : at]!r} the training has {trained[at : at + 40]!r}, "
            f"the prompt has {prompt.text[at : at + 40]!r}",
        )
    ids = tokenizer.encode(trained, add_special_tokens=False)
    if tuple(ids[: len(prompt.ids)]) != prompt.ids:
        return ("the last prompt token joins the answer in training, so the two are cut at different places",)
    return ()


def _rendered(tokenizer: Any, messages: Sequence[dict[str, Any]], tools: Sequence[Any]) -> Prompt:
    try:
        text = tokenizer.apply_chat_template(
            list(messages), tools=list(tools) or None, tokenize=False, add_generation_prompt=True
        )
    except Exception as error:
        raise TunedeckError(
            f"the model's template refuses this conversation: {error}",
            where="template",
            fix="change the roles or their order; a system message is what templates refuse most",
        ) from error
    return Prompt(tuple(tokenizer.encode(text, add_special_tokens=False)), text)


def _common_length(one: str, other: str) -> int:
    return next(
        (index for index, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
