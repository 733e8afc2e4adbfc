"""Where every part of a rendering comes from: alignment by sentinels, the span rule, and templates that misbehave."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data import render
from core.data.drafting import Draft, Drafter
from core.data.encoders import exact_encoder
from core.data.parts import rendering_of
from core.data.rowpass import label_conversations
from core.data.templates import Template, choose_template
from core.data.tokenizer import Tokenizer, load_tokenizer
from core.data.types import IGNORED, Conversation, Message, Rendering
from core.errors import TunedeckError
from core.recipe import DataSection
from core.workspace import EMBEDDED_MODEL

TRIMMING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def chat(*turns: tuple[str, str]) -> Conversation:
    return Conversation(0, "messages", tuple(Message(*turn) for turn in turns))


def drafted(tokenizer: Tokenizer, conversation: Conversation, template: str = "", **section: Any) -> Draft:
    chosen = Template(template, "of the test") if template else None
    drafter = Drafter(DataSection(**section), tokenizer, chosen)
    with render.limits():
        return drafter.draft(conversation, align=True)


def rendered(
    tokenizer: Tokenizer, conversation: Conversation, template: str = "", **section: Any
) -> Rendering:
    chosen = Template(template, "of the test") if template else None
    drafter = Drafter(DataSection(**section), tokenizer, chosen)
    bos = str(tokenizer.special_texts.get("bos_token", ""))
    return rendering_of(drafter.draft(conversation, align=True), drafter.stops, bos)


@pytest.fixture(scope="module")
def embedded() -> Tokenizer:
    return load_tokenizer(EMBEDDED_MODEL)


texts = st.text(st.characters(codec="utf-8", exclude_characters="\ue000\ue001"), max_size=30)
turns = st.builds(
    lambda system, others: ([("system", system)] if system is not None else []) + others,
    st.none() | texts,
    st.lists(st.tuples(st.sampled_from(["user", "assistant", "tool"]), texts), min_size=1, max_size=6),
)


@settings(max_examples=60, deadline=None)
@given(turns=turns, template=st.sampled_from(["", TRIMMING]))
def test_spans_tile_the_text_and_labels_are_ids_or_ignored(
    turns: list[tuple[str, str]], template: str
) -> None:
    tokenizer = load_tokenizer(EMBEDDED_MODEL)
    rendering = rendered(tokenizer, chat(*turns), template)
    assert rendering.aligned
    assert "".join(rendering.text[span.start : span.end] for span in rendering.spans) == rendering.text
    assert all(
        one.end == other.start for one, other in zip(rendering.spans, rendering.spans[1:], strict=False)
    )
    answers = [text for role, text in turns if role == "assistant"]
    assert [rendering.text[start:end] for start, end in rendering.trained] == [
        (answer.strip() if template else answer) + "<|im_end|>" for answer in answers
    ]
    drafter = Drafter(DataSection(), tokenizer, Template(template, "") if template else None)
    batch = label_conversations([chat(*turns)], drafter, exact_encoder(tokenizer))
    for number, label in zip(batch.encoded.ids.tolist(), batch.labels.tolist(), strict=True):
        assert label in (number, IGNORED)


def test_an_answer_is_found_though_its_words_stand_everywhere(embedded: Tokenizer) -> None:
    rendering = rendered(
        embedded, chat(("user", "assistant"), ("assistant", "user"), ("user", "a"), ("assistant", "a"))
    )
    assert [rendering.text[start:end] for start, end in rendering.trained] == [
        "user<|im_end|>",
        "a<|im_end|>",
    ]


def test_thinking_tool_calls_and_results_have_their_parts(shared_data: Path) -> None:
    tokenizer = load_tokenizer(shared_data / "tokenizers" / "qwen3")
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "note": 'sum "x"'}}}
    conversation = Conversation(
        0,
        "messages",
        (
            Message("user", "What is 1+1?"),
            Message("assistant", "", tool_calls=(call,)),
            Message("tool", "2"),
            Message("assistant", "It is 2.", reasoning="Easy."),
        ),
    )
    rendering = rendered(tokenizer, conversation)
    assert rendering.aligned
    found = {(span.message, span.part): rendering.text[span.start : span.end] for span in rendering.spans}
    assert found[(2, "tool result")] == "2"
    assert found[(3, "content")] == "It is 2."
    parts = dict.fromkeys(("tool call", "thinking", "stop"), "")
    for span in rendering.spans:
        if span.part in parts and span.role == "assistant":
            parts[span.part] += rendering.text[span.start : span.end]
    called = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "note": "sum \\"x\\""}}\n</tool_call>'
    assert parts == {
        "tool call": called,
        "thinking": "<think>\nEasy.\n</think>\n\n",
        "stop": "<|im_end|><|im_end|>",
    }
    trained = [rendering.text[start:end] for start, end in rendering.trained]
    assert trained == [called + "<|im_end|>", "<think>\nEasy.\n</think>\n\nIt is 2.<|im_end|>"]


def test_what_the_generation_prompt_supplies_is_not_trained(shared_data: Path) -> None:
    """Qwen3 with thinking switched off: the empty think block belongs to the prompt."""
    tokenizer = load_tokenizer(shared_data / "tokenizers" / "qwen3")
    asked = (Message("user", "Hi"), Message("assistant", "Yes."))
    on = rendered(tokenizer, Conversation(0, "messages", asked))
    off = rendered(tokenizer, Conversation(0, "messages", asked, template_kwargs={"enable_thinking": False}))
    assert [on.text[start:end] for start, end in on.trained] == ["<think>\n\n</think>\n\nYes.<|im_end|>"]
    assert [off.text[start:end] for start, end in off.trained] == ["Yes.<|im_end|>"]


@pytest.mark.parametrize(
    "name", ["qwen2_5", "qwen3", "phi3_mini", "phi4", "smollm2", "olmo2", "granite3", "mistral_v3", "gpt_oss"]
)
def test_every_real_template_trains_the_answers_and_their_stop(shared_data: Path, name: str) -> None:
    tokenizer = load_tokenizer(shared_data / "tokenizers" / name)
    rendering = rendered(
        tokenizer, chat(("user", "Hi"), ("assistant", "Yes."), ("user", "Sum?"), ("assistant", "4"))
    )
    trained = [rendering.text[start:end].strip() for start, end in rendering.trained]
    stops = {
        "qwen2_5": "<|im_end|>", "qwen3": "<|im_end|>", "phi3_mini": "<|end|>", "phi4": "<|im_end|>",
        "smollm2": "<|im_end|>", "olmo2": "<|endoftext|>", "granite3": "<|end_of_text|>", "mistral_v3": "</s>",
        "gpt_oss": "<|end|>",
    }  # fmt: skip
    first, last = trained
    assert first.endswith("Yes." + stops[name])
    assert "Hi" not in first + last
    assert "Sum?" not in first + last
    assert "4" in last
    assert rendering.trained[-1][1] >= len(rendering.text.rstrip())


class TestTemplatesThatMisbehave:
    ASK = (("user", "Hi"), ("assistant", "Yes."))

    def test_one_that_raises(self, embedded: Tokenizer) -> None:
        draft = drafted(embedded, chat(*self.ASK), "{{ raise_exception('roles must alternate') }}")
        assert draft.code == "template-refuses"
        assert "roles must alternate" in draft.problem

    def test_one_that_never_ends(self, embedded: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(render, "SECONDS_PER_ROW", 0.2)
        loop = "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}"
        started = time.monotonic()
        with pytest.raises(TunedeckError, match="3 rows in a row"):
            Drafter(DataSection(), embedded, Template(loop, ""))
        assert time.monotonic() - started < 10

    def test_one_that_never_ends_for_one_row(
        self, embedded: Tokenizer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(render, "SECONDS_PER_ROW", 0.2)
        loop = "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}"
        slow = "{% if messages[0].content == 'slow' %}" + loop + "{% endif %}" + TRIMMING
        assert "took longer than" in drafted(embedded, chat(("user", "slow")), slow).problem
        assert drafted(embedded, chat(("user", "fast")), slow).problem == ""

    def test_one_that_takes_all_memory(self, embedded: Tokenizer) -> None:
        draft = drafted(embedded, chat(*self.ASK), "{{ 'x' * 100000000000 }}")
        assert "multiplies a text beyond every limit" in draft.problem
        assert "power over 64" in drafted(embedded, chat(*self.ASK), "{{ 9 ** 999999 }}").problem

    def test_one_that_recurses(self, embedded: Tokenizer) -> None:
        draft = drafted(embedded, chat(*self.ASK), "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}")
        assert "recurses without end" in draft.problem

    def test_one_that_reaches_for_python(self, embedded: Tokenizer) -> None:
        draft = drafted(embedded, chat(*self.ASK), "{{ messages.__class__.__mro__ }}")
        assert draft.code == "template-refuses"

    def test_one_with_an_error_is_one_clear_error(self, embedded: Tokenizer) -> None:
        with pytest.raises(TunedeckError, match="error in line 1"):
            drafted(embedded, chat(*self.ASK), "{% for %}")

    def test_a_file_that_is_missing(self, embedded: Tokenizer, tmp_path: Path) -> None:
        with pytest.raises(TunedeckError, match="no such template file"):
            choose_template("missing.jinja", embedded, tmp_path)


def test_a_conversation_of_very_many_turns(embedded: Tokenizer) -> None:
    turns = [(("user", "assistant")[number % 2], f"turn {number}") for number in range(6_000)]
    started = time.monotonic()
    rendering = rendered(embedded, chat(*turns))
    assert time.monotonic() - started < 20
    assert len(rendering.trained) == 3_000
    start, end = rendering.trained[-1]
    assert rendering.text[start:end] == "turn 5999<|im_end|>"


def test_a_lone_surrogate_is_a_problem_of_its_row(embedded: Tokenizer) -> None:
    assert drafted(embedded, chat(("user", "\ud800"), ("assistant", "x"))).code == "lone-surrogate"
