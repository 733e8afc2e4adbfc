"""Conversation to text, as transformers renders chat templates, with limits.

The compiled template and its marker tracker belong to one `Renderer`; use a renderer from one thread at a
time (transformers shares one tracker per template text in the whole process, which mixes spans up between
threads).
"""

from __future__ import annotations

import contextlib
import resource
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.data.sandbox import Sandbox, Spans
from core.data.templates import Template
from core.data.tokenizer import Tokenizer
from core.data.types import Conversation, Message
from core.errors import TunedeckError

SECONDS_PER_ROW = 10.0  # a real template takes well under a millisecond
LARGEST_TEXT = 64 << 20  # characters of one rendering
MOST_BYTES: int | None = None  # what templates may add to the process; None: by what is free
_LEAST_ROOM_BYTES = 2 << 30

_LARGEST_POWER = 64
_MOST_SLOW_ROWS = 3  # then the template is at fault, not the row

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
        template = self._compiled_for(tools)
        try:
            _WATCH.begin()
            text: str = template.render(self._context(messages, tools, kwargs, prompt))
        except Exception as error:
            raise _refusal(error) from None
        finally:
            _WATCH.end()
        return _small_enough(text)

    def render_marked(
        self, messages: list[dict[str, Any]], tools: list[Any] | None, kwargs: dict[str, Any]
    ) -> tuple[str, Spans]:
        """The text and the character spans that the template's generation markers enclose."""
        template = self._compiled_for(tools)
        try:
            _WATCH.begin()
            text, spans = template.environment.render_marked(
                template, self._context(messages, tools, kwargs, False)
            )
        except Exception as error:
            raise _refusal(error) from None
        finally:
            _WATCH.end()
        return _small_enough(text), spans

    def _compiled_for(self, tools: list[Any] | None) -> Any:
        return self._with_tools if tools else self._plain

    def _context(
        self, messages: list[dict[str, Any]], tools: list[Any] | None, kwargs: dict[str, Any], prompt: bool
    ) -> dict[str, Any]:
        return {
            "documents": None,
            **self._special,
            **kwargs,
            "messages": messages,
            "tools": tools,
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
    """A template in a sandbox of its own."""
    import jinja2

    environment = Sandbox()
    # A template that multiplies a text by a billion would take the machine's memory, sandbox or not.
    environment.intercepted_binops = frozenset({"*", "**"})
    environment.binop_table |= {"*": _times, "**": _power}
    try:
        with limits():  # Jinja works out constants while it compiles
            _WATCH.begin()
            template = environment.from_string(text)
    except (MemoryError, RecursionError, RenderError) as error:
        raise TunedeckError(
            f"the chat template cannot be compiled: {_refusal(error).reason}",
            where="data.template",
            fix="mend the template, or choose another in data.template",
        ) from None
    except jinja2.TemplateSyntaxError as error:
        raise TunedeckError(
            f"the chat template has an error in line {error.lineno}: {error.message}",
            where="data.template",
            fix="mend the template, or choose another in data.template",
        ) from None
    finally:
        _WATCH.end()
    template.globals = dict(template.globals)  # a ChainMap is copied key by key for every row
    return template


def _times(left: Any, right: Any) -> Any:
    for sequence, count in ((left, right), (right, left)):
        if isinstance(sequence, str | list | tuple) and isinstance(count, int):
            if len(sequence) * count > LARGEST_TEXT:
                raise RenderError("it multiplies a text beyond every limit")
            return sequence * count
    return left * right


def _power(left: Any, right: Any) -> Any:
    if isinstance(right, int | float) and right > _LARGEST_POWER:
        raise RenderError(f"it raises a number to a power over {_LARGEST_POWER}")
    return left**right


def _small_enough(text: str) -> str:
    if len(text) > LARGEST_TEXT:
        raise RenderError(f"it rendered {len(text):,} characters, over the limit of {LARGEST_TEXT:,}")
    return text


class _Watch:
    """Ends a rendering that takes too long, by a timer that runs while a batch is rendered.

    Works in the main thread only, where Python handles signals; elsewhere there is no limit in time.
    """

    def __init__(self) -> None:
        self.running = False
        self.ended = 0  # renderings in a row that took too long
        self._began = 0.0

    def begin(self) -> None:
        self._began = time.monotonic()

    def end(self) -> None:
        if self._began:
            self.ended = 0
        self._began = 0.0

    def look(self, _signal: int, _frame: object) -> None:
        if self._began and time.monotonic() - self._began > SECONDS_PER_ROW:
            self._began = 0.0
            self.ended += 1
            raise RenderError(f"it took longer than {SECONDS_PER_ROW:.0f} s")


_WATCH = _Watch()


@contextlib.contextmanager
def limits() -> Iterator[None]:
    """While this lasts, a row that renders longer than SECONDS_PER_ROW, or takes half of the free memory, is refused.

    Templates can grow a text in more ways than a sandbox can watch (`x + x`, `~`, replace, format), so the
    growth of the process itself is limited: Python then raises MemoryError in the template. Another thread may
    encode meanwhile; its share is small beside the limit.
    """
    if _WATCH.running or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, _WATCH.look)
    signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)
    _WATCH.running = True
    try:
        with _memory_limit():
            yield
    finally:
        _WATCH.running = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _memory_limit() -> Iterator[None]:
    """The soft limit of the address space at its present size and some room; no limit where that cannot be read."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        wanted = pages * resource.getpagesize() + (_room_bytes() if MOST_BYTES is None else MOST_BYTES)
        ceiling = min((limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY), default=wanted)
        resource.setrlimit(resource.RLIMIT_AS, (min(wanted, ceiling), hard))
    except (OSError, ValueError, StopIteration):
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _room_bytes() -> int:
    """Half of what is free on this machine or in this container, and never less than 2 GiB."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        most, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        free = min(free, most - used)
    return max(free // 2, _LEAST_ROOM_BYTES)


def _refusal(error: Exception) -> RenderError:
    """Whatever a template raised, in words."""
    if _WATCH.ended >= _MOST_SLOW_ROWS:
        _WATCH.ended = 0
        raise TunedeckError(
            f"the chat template took longer than {SECONDS_PER_ROW:.0f} s for {_MOST_SLOW_ROWS} rows in a row",
            where="data.template",
            fix="it may never end; mend it, or choose another in data.template",
        )
    if isinstance(error, RenderError):
        return error
    if isinstance(error, RecursionError):
        return RenderError("it recurses without end")
    if isinstance(error, MemoryError):
        return RenderError("it ran out of memory")
    return RenderError(_in_words(error))


def _in_words(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    if "'bos_token' is undefined" in text:
        return "it needs a BOS token and this tokenizer has none"
    return text
