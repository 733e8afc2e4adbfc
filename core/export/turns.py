"""A chat template taken apart into what stands around each role's text, for formats that know no Jinja."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import TunedeckError

SYSTEM, USER, ASSISTANT, AGAIN = (f"tunedeck{name}text" for name in ("system", "user", "assistant", "again"))


@dataclass(frozen=True, slots=True)
class Turns:
    """(before, after) of every role, and what opens an answer. Without the BOS text, which servers add.

    Where one turn's end and the next one's beginning cannot be told apart, only their sum is right; prompts are.
    """

    system: tuple[str, str] | None  # None: the template takes no system message of its own
    user: tuple[str, str]
    assistant: tuple[str, str]
    opening: str
    without_system: str = ""  # what the template writes first if there is no system message

    def compose(self, messages: Sequence[dict[str, str]]) -> str:
        """The prompt for a conversation, as a server puts it together from the parts."""
        parts = [] if messages[0]["role"] == "system" else [self.without_system]
        for message in messages:
            around = getattr(self, message["role"])
            parts.append(around[0] + message["content"] + around[1])
        return "".join(parts) + self.opening


def turns_of(tokenizer: Any) -> Turns:
    """Take the tokenizer's template apart, and prove that the parts make the same prompts.

    Raises TunedeckError if they do not: a template that writes a date, or whose turns depend on their place.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise TunedeckError(
            "the model has no chat template", where="template", fix="serve it for plain completion"
        )
    ask, answer = {"role": "user", "content": USER}, {"role": "assistant", "content": ASSISTANT}
    told, again = {"role": "system", "content": SYSTEM}, {"role": "user", "content": AGAIN}
    # Servers put the BOS token first if the tokenizer does; then the template's own would be a second one.
    adds_bos = tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][:1] == [
        tokenizer.bos_token_id
    ]
    bos = tokenizer.bos_token if adds_bos else ""

    def render(*messages: dict[str, str]) -> str:
        text = str(tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True))
        return text.removeprefix(bos) if bos else text

    try:
        if "strftime_now" in str(tokenizer.chat_template):
            raise ValueError("it writes today's date")
        plain = _pieces(render(ask, answer, again), USER, ASSISTANT, AGAIN)
        first, asked, answered, opened = plain
        alone = _pieces(render(ask), USER)
        try:
            start, told_to_ask = _pieces(render(told, ask, answer, again), SYSTEM, USER, ASSISTANT, AGAIN)[:2]
        except Exception:  # refused, or the text is moved into another message
            start, told_to_ask = "", None
        before_user = _common_end(answered, alone[0], *([told_to_ask] if told_to_ask is not None else []))
        after_user = _common_beginning(asked, opened)
        turns = Turns(
            system=None if told_to_ask is None else (start, _cut_end(told_to_ask, before_user)),
            user=(before_user, after_user),
            assistant=(asked[len(after_user) :], _cut_end(answered, before_user)),
            opening=opened[len(after_user) :],
            without_system=_cut_end(first, before_user),
        )
        chats = [[ask], [ask, answer, again]]
        if told_to_ask is not None:
            chats += [[told, ask], [told, ask, answer, again]]
        for chat in chats:
            if turns.compose(chat) != render(*chat):
                raise ValueError("its turns depend on their place")
    except Exception as error:
        raise TunedeckError(
            f"the chat template cannot be taken apart: {error}",
            where="template",
            fix="serve it with a server that reads the template itself: llama-server --jinja, vLLM, SGLang",
        ) from error
    return turns


def _pieces(text: str, *contents: str) -> list[str]:
    """What stands before, between and after the contents, which must appear in this order."""
    pieces = []
    for content in contents:
        before, found, text = text.partition(content)
        if not found:
            raise ValueError("a message's text does not appear as it is")
        pieces.append(before)
    return [*pieces, text]


def _common_beginning(one: str, other: str) -> str:
    length = min(len(one), len(other))
    return one[: next((index for index in range(length) if one[index] != other[index]), length)]


def _common_end(*texts: str) -> str:
    common = texts[0]
    for text in texts[1:]:
        common = _common_beginning(common[::-1], text[::-1])[::-1]
    return common


def _cut_end(text: str, end: str) -> str:
    return text[: len(text) - len(end)]
