"""The sandbox for chat templates renders what transformers renders, marks what it marks, and refuses what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import pytest

from core.data.sandbox import Sandbox, Spans
from core.workspace import EMBEDDED_MODEL

Outcome = tuple[str, Any, Spans]

CALL = {
    "id": "call12345",
    "type": "function",
    "function": {"name": "add", "arguments": {"a": 1, "b": "<&>é"}},
}
CHATS: tuple[list[dict[str, Any]], ...] = (
    [{"role": "user", "content": "Hi {{ x }}"}, {"role": "assistant", "content": "Yes 🤖."}],
    [
        {"role": "system", "content": " Be brief.\n"},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nOne.", "thinking": "hm"},
        {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": "Two.", "reasoning_content": "so", "items": 3, "name": "ann"},
    ],
    [
        {"role": "user", "content": "Add."},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "2", "tool_call_id": "call12345", "name": "add"},
        {"role": "assistant", "content": "2"},
    ],
    [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, {"role": "assistant", "content": "Yes"}],
    [{"role": "assistant", "content": "I speak first."}, {"role": "user", "content": "Ah."}],
    [],
)
TOOLS = [{"type": "function", "function": {"name": "add", "description": "adds", "parameters": {"type": "object",
    "properties": {"a": {"type": "integer", "description": "a <b>"}}, "required": ["a"]}}}]  # fmt: skip

# What a template may try, and where its markers may stand.
ODD = (
    "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}|{% endfor %}",
    "{% set x %}{% generation %}inner{% endgeneration %}{% endset %}before {{ x }} after",
    "{% macro say(m) %}<{% generation %}{{ m }}{% endgeneration %}>{% endmacro %}a {{ say('b') }} c {{ say('d') }}",
    "{% set ns = namespace(n=0, f='x'.upper) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{{ ns.n }}{% endfor %}{{ ns.f() }}{{ ns.none }}",
    "{% set ns = namespace(_x=1) %}{{ ns._x }}",
    "{% set ns = namespace() %}{% set ns._x = 1 %}",
    "{{ ''.__class__.__mro__ }}",
    "{{ messages.append(1) }}",
    "{{ {}.items }}{{ messages[0].items }}{{ messages[0].keys() | list }}",
    "{{ '{0.__class__}'.format(1) }}{{ namespace.__init__.__globals__ }}",
    "{{ loop }}{% for m in messages %}{{ loop.index }}{{ loop.previtem }}{{ loop.cycle('a', 'b') }}{{ loop.nope }}{% endfor %}",
    "{{ raise_exception('no') }}",
    "{{ messages | tojson }}{{ messages | tojson(indent=2) }}{{ dict(a=1) | tojson }}{{ dict.fromkeys([1]) }}",
    "{% for m in messages %}{% if loop.index0 == 1 %}{% break %}{% endif %}{{ m['role'] }}{% endfor %}",
    "{{ messages[0].nope.deeper }}",
    "{{ strftime_now('%Y') }}",
    "{{ range(10**9) }}",
)


def context(chat: list[dict[str, Any]], tools: list[Any] | None) -> dict[str, Any]:
    return {"messages": chat, "tools": tools, "documents": None, "add_generation_prompt": False,
            "bos_token": "<s>", "eos_token": "</s>"}  # fmt: skip


def outcome(render: Any) -> Outcome:
    try:
        text, spans = render()
    except Exception as error:
        return type(error).__name__, str(error), ()
    return "text", text, tuple(tuple(span) for span in spans)


def ours(text: str) -> Any:
    """A function from a context to what becomes of it, with markers and without."""
    sandbox = Sandbox()
    template = sandbox.from_string(text)
    return lambda given: [
        outcome(lambda: sandbox.render_marked(template, given)),
        outcome(lambda: (template.render(given), ())),
    ]


def theirs(text: str) -> Any:
    """The same by transformers."""
    from transformers.utils.chat_template_utils import _cached_compile_jinja_template

    template: Any = _cached_compile_jinja_template(text)

    def marked(given: dict[str, Any]) -> tuple[str, list[tuple[int, int]]]:
        pieces: list[str] = []
        spans: list[tuple[int, int]] = []
        with template.environment.activate_tracker(pieces, spans):
            for piece in template.generate(given):
                pieces.append(piece)
        return "".join(pieces), spans

    return lambda given: [
        outcome(lambda: marked(given)),
        outcome(lambda: (template.render(given), ())),
    ]


@pytest.mark.parametrize("text", ODD)
def test_what_templates_may_and_may_not_do(text: str) -> None:
    here, there = ours(text), theirs(text)
    for chat in CHATS:
        given = context(chat, None)
        assert list(map(without_address, here(given))) == list(map(without_address, there(given)))


def without_address(outcome: Outcome) -> tuple[str, str, Spans]:
    kind, text, spans = outcome
    return kind, text.partition(" at 0x")[0], spans


def test_the_embedded_template() -> None:
    same_for_all_chats((EMBEDDED_MODEL / "chat_template.jinja").read_text(encoding="utf-8"))


def test_every_shared_template(shared_data: Path) -> None:
    paths = sorted((shared_data / "templates").rglob("*.jinja"))
    assert len(paths) > 100
    for path in paths:
        same_for_all_chats(path.read_text(encoding="utf-8"))


def same_for_all_chats(text: str) -> None:
    try:
        here = ours(text)
    except jinja2.TemplateSyntaxError:
        with pytest.raises(jinja2.TemplateSyntaxError):
            theirs(text)
        return
    there = theirs(text)
    for chat in CHATS:
        for tools in (None, TOOLS):
            given = context(chat, tools)
            assert here(given) == there(given)


def test_markers_are_placed_as_transformers_places_them() -> None:
    (_, text, spans), _ = ours(ODD[0])(context(CHATS[0], None))
    assert [text[start:end] for start, end in spans] == ["Hi {{ x }}", "Yes 🤖."]
