"""Which text ends a turn: EOS, what a generation config names, and what the template itself prints there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from core.data.fields import sentinel
from core.data.render import Renderer, RenderError
from core.data.tokenizer import Tokenizer


@dataclass(frozen=True)
class Stops:
    """The texts of the tokens that end generation, longest first where one begins with another."""

    texts: tuple[str, ...]

    def first_in(self, text: str, start: int = 0, end: int | None = None) -> tuple[int, int] | None:
        """[start, end) of the first turn end within a part of a text: the first stop, and an EOS right after.

        Phi-3 prints `<|end|>` and, once at the end, EOS: the model stops on EOS, so it belongs to the turn.
        """
        if not self.texts:
            return None
        limit = len(text) if end is None else end
        first = self._first.search(text, start, limit)
        if first is None:
            return None
        last = first.end()
        while following := self._next.match(text, last, limit):
            last = following.end()
        return first.start(), last

    @cached_property
    def _first(self) -> re.Pattern[str]:
        return re.compile("|".join(re.escape(text) for text in sorted(self.texts, key=len, reverse=True)))

    @cached_property
    def _next(self) -> re.Pattern[str]:
        return re.compile(rf"\s*(?:{self._first.pattern})")


def find_stops(tokenizer: Tokenizer, renderer: Renderer) -> Stops:
    """EOS, the generation config's stop tokens, and the first added token after an answer in probe chats."""
    texts = list(tokenizer.stop_texts)
    added = sorted(tokenizer.added, key=len, reverse=True)
    if added:
        pattern = re.compile("|".join(map(re.escape, added)))
        for after in _after_answers(renderer):
            # A tool call may close with tokens of its own before the turn ends: a known stop goes first.
            if Stops(tuple(texts)).first_in(after) is not None:
                continue
            match = pattern.search(after)
            if match:
                texts.append(match[0])
    return Stops(tuple(texts))


def _after_answers(renderer: Renderer) -> list[str]:
    """What follows an answer, or a tool call, up to the next message or the end."""
    ask: dict[str, Any] = {"role": "user", "content": sentinel(0)}
    answer: dict[str, Any] = {"role": "assistant", "content": sentinel(1)}
    again: dict[str, Any] = {"role": "user", "content": sentinel(2)}
    function = {"name": "probe", "arguments": {"text": sentinel(1)}}
    call: dict[str, Any] = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "probe0000", "type": "function", "function": function}],
    }
    result: dict[str, Any] = {
        "role": "tool",
        "tool_call_id": "probe0000",
        "name": "probe",
        "content": sentinel(2),
    }
    texts = []
    for chat in ([ask, answer, again], [ask, answer], [ask, call, result]):
        try:
            text = renderer.render(chat, None, {})
        except RenderError:
            continue
        _, found, rest = text.partition(sentinel(1))
        if found:
            texts.append(rest.partition(sentinel(2))[0])
    return texts
