"""Conversation to text, through transformers' own chat template renderer, with limits.

The compiled template and its marker tracker belong to one `Renderer`; use a renderer from one thread at a
time (transformers shares one tracker per template text in the whole process, which mixes spans up between
threads).
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from core.data.templates import Template
from core.data.tokenizer import Tokenizer
from core.data.types import Conversation, Message
from core.errors import TunedeckError

SECONDS_PER_ROW = 10.0  # a real template takes well under a millisecond
LARGEST_TEXT = 64 << 20  # characters of one rendering

Spans = tuple[tuple[int, int], ...]

# transformers copies a message's reasoning between the names that templates read, in this order.
_REASONING_NAMES = ("reasoning_content", "thinking", "reasoning")


class RenderError(TunedeckError):
    """The template refused a row, or ran over a limit. `reason` is the template's own message."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the chat template refused the row: {reason}")
        self.reason = reason


class Renderer:
    """One template, compiled, with the special tokens of one tokenizer."""

    def __init__(self, template: Template, tokenizer: Tokenizer) -> None:
        self.template = template
        self._special = tokenizer.special_texts
        self._plain = _compiled(template.text)
        self._with_tools = _compiled(template.tool_text) if template.tool_text else self._plain

    def render(
        self,
        messages: list[dict[str, Any]],
        tools: list[Any] | None,
        kwargs: dict[str, Any],
        *,
        prompt: bool = False,
    ) -> str:
        """The text of these messages; `prompt` adds the generation prompt. Raises RenderError."""
        with _limits():
            text = self._compiled_for(tools).render(**self._context(messages, tools, kwargs, prompt))
        return _small_enough(text)

    def render_marked(
        self, messages: list[dict[str, Any]], tools: list[Any] | None, kwargs: dict[str, Any]
    ) -> tuple[str, Spans]:
        """The text and the character spans that the template's generation markers enclose."""
        template = self._compiled_for(tools)
        blocks: list[str] = []
        spans: list[tuple[int, int]] = []
        with _limits(), template.environment.activate_tracker(blocks, spans):
            for block in template.generate(**self._context(messages, tools, kwargs, False)):
                blocks.append(block)
        return _small_enough("".join(blocks)), tuple(spans)

    def _compiled_for(self, tools: list[Any] | None) -> Any:
        return self._with_tools if tools else self._plain

    def _context(
        self, messages: list[dict[str, Any]], tools: list[Any] | None, kwargs: dict[str, Any], prompt: bool
    ) -> dict[str, Any]:
        return {
            **self._special,
            **kwargs,
            "messages": messages,
            "tools": tools,
            "documents": None,
            "add_generation_prompt": prompt,
        }


def template_messages(conversation: Conversation) -> list[dict[str, Any]]:
    """The messages as transformers hands them to a template: null keys dropped, reasoning names aliased."""
    return [template_message(message) for message in conversation.messages]


def template_message(message: Message) -> dict[str, Any]:
    plain: dict[str, Any] = {"role": message.role}
    if message.content is not None:
        plain["content"] = message.content
    if message.tool_calls:
        plain["tool_calls"] = list(message.tool_calls)
    for key, value in message.extra.items():
        if value is not None:
            plain[key] = value
    reasoning = message.reasoning
    if reasoning is None and message.extra:
        reasoning = next((plain[name] for name in _REASONING_NAMES if plain.get(name) is not None), None)
    if reasoning is not None:
        plain = {"thinking": reasoning, **plain, "reasoning_content": reasoning}
    return plain


def _compiled(text: str) -> Any:
    """A template in transformers' sandbox. Not their cached one: its marker tracker is shared."""
    import jinja2
    from transformers.utils.chat_template_utils import _cached_compile_jinja_template

    try:
        return _cached_compile_jinja_template(text)
    except jinja2.TemplateSyntaxError as error:
        raise TunedeckError(
            f"the chat template has an error in line {error.lineno}: {error.message}",
            where="data.template",
            fix="mend the template, or choose another in data.template",
        ) from None


def _small_enough(text: str) -> str:
    if len(text) > LARGEST_TEXT:
        raise RenderError(f"it rendered {len(text):,} characters, over the limit of {LARGEST_TEXT:,}")
    return text


@contextlib.contextmanager
def _limits() -> Iterator[None]:
    """Turn whatever a template raises into RenderError, and stop one that does not end."""
    timed = threading.current_thread() is threading.main_thread()
    before = None
    if timed:
        before = signal.signal(signal.SIGALRM, _too_slow)
        signal.setitimer(signal.ITIMER_REAL, SECONDS_PER_ROW)
    try:
        yield
    except RenderError:
        raise
    except RecursionError:
        raise RenderError("it recurses without end") from None
    except MemoryError:
        raise RenderError("it ran out of memory") from None
    except Exception as error:
        raise RenderError(_in_words(error)) from None
    finally:
        if timed:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def _too_slow(_signal: int, _frame: object) -> None:
    raise RenderError(f"it took longer than {SECONDS_PER_ROW:.0f} s")


def _in_words(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    if "'bos_token' is undefined" in text:
        return "it needs a BOS token and this tokenizer has none"
    return text
