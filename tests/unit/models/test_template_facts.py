"""What templates do, against measurements of public ones; and templates that mean harm."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from core.models.template_facts import SECONDS, template_facts
from core.models.template_probe import probe

TOKENS = {"bos_token": "<BOS>", "eos_token": "<EOS>"}
_SYSTEM = {"ok": "accepted", "dropped silently": "dropped"}
_THINKING = {"kept": "kept", "earlier stripped": "cut from earlier turns", "both stripped": "cut"}
_REASONING = {"both rendered": "kept", "earlier stripped": "cut from earlier turns", "ignored": "cut"}
_TOOLS = {"rendered": "printed", "ignored silently": "ignored"}


def test_every_public_template_behaves_as_measured_with_transformers(shared_data: Path) -> None:
    folder = shared_data / "templates"
    compared, differing = 0, []
    for measured in json.loads((folder / "behaviour.json").read_text()):
        found = probe((folder / measured["file"]).read_text(), TOKENS)
        if "problem" in found:
            assert measured["plain"] != "ok", measured["file"]
            continue
        if "probe" in measured["file"] or not measured["system"]:
            continue
        system = _SYSTEM.get(measured["system"], "refused")
        if system == "dropped" and measured["system_if_user_last"] == "ok":
            system = "dropped in training"
        expected = {
            "system": system,
            "thinking": _THINKING[measured["think_inline"]],
            "reasoning": _REASONING[measured["think_reasoning_content"]],
            "tools": _TOOLS[measured["tools"]],
            "uses_clock": measured["date"],
            "starts_with_bos": measured["starts_bos"],
        }
        compared += 1
        differing += [(measured["file"], key) for key, value in expected.items() if found[key] != value]
    assert differing == []
    assert compared > 115


def test_rendering_equals_transformers(shared_data: Path) -> None:
    """What follows an answer is read off the rendering; it is the one transformers makes."""
    from transformers.utils.chat_template_utils import render_jinja_template

    turns = [{"role": "user", "content": "Qxq1?"}, {"role": "assistant", "content": "Axa1."}]
    compared = 0
    for path in sorted((shared_data / "templates").rglob("*.jinja")):
        found = probe(path.read_text(), TOKENS)
        if found.get("problem") or found.get("wants_parts") or found["uses_clock"]:
            continue
        [text], _ = render_jinja_template([turns], chat_template=path.read_text(), **TOKENS)
        assert text.split("Axa1.")[-1] == found["after_answer"], path.name
        compared += 1
    assert compared > 100


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% if %}", "line 1"),
        ("{% for m in messages %}{{ m.content }", "unexpected '}'"),
        ("{{ 'a' * 10**10 }}", "MemoryError"),
        ("{{ raise_exception('no roles') }}", "no roles"),
        ("{{ messages.__class__.__mro__ }}", "unsafe"),
        ("{{ bos_token + messages[0].content }}", "BOS token"),
    ],
)
def test_a_template_that_cannot_be_used_says_why(template: str, words: str) -> None:
    assert words in template_facts(template, {}).problem


def test_a_template_without_an_end_is_ended() -> None:
    endless = (
        "{% set n = namespace(x=0) %}{% for i in range(99999) %}{% for j in range(99999) %}"
        "{% set n.x = n.x + 1 %}{% endfor %}{% endfor %}"
    )
    began = time.monotonic()
    assert (
        "processor time" in template_facts(endless, {}).problem
        or "does not end" in template_facts(endless, {}).problem
    )
    assert time.monotonic() - began < SECONDS + 3


def test_generation_markers_are_seen() -> None:
    marked = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
    assert template_facts(marked, {}).markers
    assert not template_facts("{{ messages[0].content }}", {}).markers
