"""Try a chat template on small conversations. A process of its own: a template is code from strangers.

    python -P -m core.models.template_probe < request.json > facts.json

The request holds `template` and `tokens` (the special tokens a template may print). Memory and processor
time are limited; the parent (`core.models.template_facts`) ends a probe that takes too long. The
environment is that of transformers' `render_jinja_template`, so that a probe sees what training will.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from typing import Any

MEMORY_BYTES = 1 << 30
PROCESSOR_SECONDS = 3
_CLOCK = "(today)"
_QUESTION, _ANSWER, _SYSTEM, _TOOL = "Qxq1?", "Axa1.", "Sxs1!", "txtool"
_THOUGHT = "Hxh1"

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": _TOOL,
            "description": "Looks something up.",
            "parameters": {
                "type": "object",
                "properties": {"place": {"type": "string", "description": "Where."}},
                "required": ["place"],
            },
        },
    }
]


def probe(template: str, tokens: dict[str, str]) -> dict[str, Any]:
    """The facts of `core.models.template_facts.TemplateFacts`, as a dict."""
    import jinja2

    try:
        compiled = _environment().from_string(template)
    except jinja2.TemplateSyntaxError as error:
        return {"problem": f"line {error.lineno}: {error.message}"}

    def render(messages: list[dict[str, Any]], **more: Any) -> str:
        values = {"tools": None, "documents": None, "add_generation_prompt": False, **tokens, **more}
        return str(compiled.render(messages=[_with_reasoning(one) for one in messages], **values))

    def render_parts(messages: list[dict[str, Any]], **more: Any) -> str:
        return render([{**one, "content": _parts(one["content"])} for one in messages], **more)

    turns = [_user(_QUESTION), _assistant(_ANSWER)]
    plain = _try(render, turns)
    if plain.text is not None and _QUESTION in plain.text:
        return _facts(render, plain.text, tokens)
    parts = _try(render_parts, turns)
    if parts.text is not None and _QUESTION in parts.text:
        return {"wants_parts": True, **_facts(render_parts, parts.text, tokens)}
    return {"problem": plain.error} if plain.text is None else _facts(render, plain.text, tokens)


def _facts(render: Callable[..., str], plain: str, tokens: dict[str, str]) -> dict[str, Any]:
    bos = tokens.get("bos_token", "")
    return {
        "starts_with_bos": bool(bos) and plain.lstrip().startswith(bos),
        "default_system": plain.split(_QUESTION)[0] if len(plain.split(_QUESTION)[0]) > 60 else "",
        "after_answer": plain.split(_ANSWER)[-1] if _ANSWER in plain else "",
        "system": _system(render),
        "thinking": _thinking(render, inline=True),
        "reasoning": _thinking(render, inline=False),
        "tools": _tools(render),
        "uses_clock": _CLOCK in plain,
    }


def _system(render: Callable[..., str]) -> str:
    """accepted, refused, dropped, or dropped in training (printed only while the last message is a question)."""
    turns = [{"role": "system", "content": _SYSTEM}, _user(_QUESTION)]
    whole = _try(render, [*turns, _assistant(_ANSWER)])
    if whole.text is None:
        return "refused"
    if _SYSTEM in whole.text:
        return "accepted"
    asked = _try(render, turns, add_generation_prompt=True)
    return "dropped in training" if asked.text and _SYSTEM in asked.text else "dropped"


def _thinking(render: Callable[..., str], *, inline: bool) -> str:
    """What becomes of thoughts in two answers: kept, cut from earlier turns, cut, or refused."""

    def answer(number: int) -> dict[str, Any]:
        thought, said = f"{_THOUGHT}{number}", f"{_ANSWER}{number}"
        if inline:
            return _assistant(f"<think>\n{thought}\n</think>\n\n{said}")
        return {**_assistant(said), "reasoning_content": thought}

    result = _try(render, [_user("1?"), answer(1), _user("2?"), answer(2)])
    if result.text is None:
        return "refused"
    first, second = (f"{_THOUGHT}{number}" in result.text for number in (1, 2))
    if first:
        return "kept"
    return "cut from earlier turns" if second else "cut"


def _tools(render: Callable[..., str]) -> str:
    result = _try(render, [_user(_QUESTION), _assistant(_ANSWER)], tools=TOOLS)
    if result.text is None:
        return "refused"
    return "printed" if _TOOL in result.text else "ignored"


class _Outcome:
    def __init__(self, text: str | None, error: str) -> None:
        self.text, self.error = text, error


def _try(render: Callable[..., str], messages: list[dict[str, Any]], **more: Any) -> _Outcome:
    try:
        return _Outcome(render(messages, **more), "")
    except Exception as error:  # whatever a template raises is an answer
        text = str(error).strip() or type(error).__name__
        if "'bos_token' is undefined" in text:
            text = "it needs a BOS token and this tokenizer has none"
        return _Outcome(None, text.splitlines()[0])


def _user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


def _assistant(content: str) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def _parts(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


def _with_reasoning(message: dict[str, Any]) -> dict[str, Any]:
    """transformers copies reasoning under the names that templates read."""
    thought = message.get("reasoning_content")
    return message if thought is None else {"thinking": thought, **message}


def _environment() -> Any:
    from jinja2 import TemplateError
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(
        value: Any,
        ensure_ascii: bool = False,
        indent: Any = None,
        separators: Any = None,
        sort_keys: bool = False,
    ) -> str:
        return json.dumps(
            value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
        )

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_generation_tag(), loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: _CLOCK
    return environment


def _generation_tag() -> Any:
    """The tag transformers adds: it marks what the model writes, and prints its body."""
    from jinja2 import nodes
    from jinja2.ext import Extension

    class GenerationTag(Extension):
        tags = {"generation"}  # noqa: RUF012 - jinja's own way to declare a tag

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    return GenerationTag


def main() -> None:
    """Read a request from stdin, write the facts to stdout."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_SECONDS, PROCESSOR_SECONDS))
    request = json.load(sys.stdin)
    json.dump(probe(request["template"], request["tokens"]), sys.stdout)


if __name__ == "__main__":
    main()
