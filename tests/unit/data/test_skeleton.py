"""Where the fields of a conversation lie in a rendering, whatever the template did to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.data.fields import fields_of
from core.data.render import Renderer
from core.data.skeleton import Aligner, Alignment
from core.data.stops import Stops
from core.data.templates import Template
from core.data.tokenizer import load_tokenizer

DEMO = Path(__file__).resolve().parents[3] / "core" / "demo" / "model"
BODY = (
    "{%- for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + CONTENT + '<|im_end|>\\n' }}{%- endfor %}"
)
ASK = "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"
CHAT = [{"role": "user", "content": " user "}, {"role": "assistant", "content": "assistant\n"}]


def aligned(template: str, messages: list[dict[str, Any]]) -> tuple[str, Alignment | None]:
    tokenizer = load_tokenizer(DEMO)
    renderer = Renderer(Template(template, "test"), tokenizer)
    text = renderer.render(messages, None, {})
    fields = fields_of(messages, None, {})
    aligner = Aligner(renderer, Stops(tokenizer.stop_texts))
    return text, aligner.align(text, fields.texts, fields.shape, messages, None, {})


def parts(template: str, messages: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """The text of every field, and of every assistant turn."""
    text, alignment = aligned(template, messages)
    assert alignment is not None
    skeleton, starts = alignment.skeleton, alignment.starts
    assert starts[0] == 0 and starts[-1] == len(text)
    fields = [
        text[starts[i] : starts[i + 1]] for i, piece in enumerate(skeleton.pieces) if isinstance(piece, int)
    ]
    turns = [
        text[alignment.at(turn.start) : alignment.at(turn.end)]
        for turn in skeleton.turns
        if turn.role == "assistant"
    ]
    return fields, turns


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        ("m.content", [" user ", "assistant\n"]),
        ("m.content | trim", ["user", "assistant"]),
        ("m.content | tojson", [" user ", "assistant\\n"]),
    ],
)
def test_fields_are_found_as_printed(content: str, fields: list[str]) -> None:
    """The texts are those of role tags, so that a search for them would go wrong."""
    found, turns = parts(BODY.replace("CONTENT", content) + ASK, CHAT)
    assert found == fields
    quote = '"' if "tojson" in content else ""
    assert turns == [f"{quote}{fields[1]}{quote}<|im_end|>"]


def test_a_rewritten_text_does_not_align() -> None:
    assert aligned(BODY.replace("CONTENT", "m.content | upper") + ASK, CHAT)[1] is None


def test_a_dropped_field_is_missing() -> None:
    template = (
        "{%- for m in messages if m.role != 'system' %}"
        + BODY.partition("%}")[2].replace("CONTENT", "m.content")
        + ASK
    )
    _, alignment = aligned(template, [{"role": "system", "content": "Be brief."}, *CHAT])
    assert alignment is not None
    (missing,) = alignment.skeleton.missing
    assert alignment.skeleton.fields[missing].role == "system"


def test_without_a_generation_prompt_the_tag_is_the_header_and_markup_is_the_answer() -> None:
    """Mistral's `[INST] [/INST]` supplies no role tag; what opens a tool call must be written by the model."""
    template = (
        "{%- for m in messages %}{%- if m.role == 'user' %}{{ '[INST] ' + m.content + '[/INST]' }}"
        "{%- elif m.tool_calls %}{{ '[CALLS] [{' + m.tool_calls[0].function.name + '}]<|im_end|>' }}"
        "{%- else %}{{ ' ' + m.content + '<|im_end|>' }}{%- endif %}{%- endfor %}"
    )
    call = {"type": "function", "function": {"name": "find", "arguments": {}}}
    assert parts(template, CHAT)[1] == [" assistant\n<|im_end|>"]
    asked = [CHAT[0], {"role": "assistant", "content": "", "tool_calls": [call]}]
    assert parts(template, asked)[1] == ["[CALLS] [{find}]<|im_end|>"]
    tagged = "{%- for m in messages %}{{ m.role + ': ' + m.content + '<|im_end|>' }}{%- endfor %}"
    assert parts(tagged, CHAT)[1] == ["assistant\n<|im_end|>"], "a role tag before the answer is its header"
