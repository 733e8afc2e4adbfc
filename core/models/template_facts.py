"""What a chat template does with a conversation, found by trying it in a process with limits."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass, fields
from functools import lru_cache

SECONDS = 4.0  # for one template; the slowest of 127 public ones takes a tenth of one


@dataclass(frozen=True, slots=True)
class TemplateFacts:
    """What a template does. With `problem` it cannot be used, and the other fields say nothing."""

    markers: bool = False  # generation tags: the template itself says what the model writes
    problem: str = ""
    wants_parts: bool = False  # content must be a list of typed parts
    starts_with_bos: bool = False
    default_system: str = ""  # what it prints before the first question if nobody asked for it
    after_answer: str = ""  # what follows an answer: how generation stops
    system: str = ""  # accepted | refused | dropped | dropped in training
    thinking: str = ""  # <think> inside content: kept | cut from earlier turns | cut | refused
    reasoning: str = ""  # a reasoning field: the same words
    tools: str = ""  # printed | ignored | refused
    uses_clock: bool = False  # the same row becomes other tokens tomorrow


def template_facts(template: str, tokens: dict[str, str]) -> TemplateFacts:
    """Probe a template with the tokenizer's special tokens (`bos_token`, `eos_token`, ...). Never raises."""
    return _probed(template, tuple(sorted(tokens.items())))


@lru_cache(maxsize=256)
def _probed(template: str, tokens: tuple[tuple[str, str], ...]) -> TemplateFacts:
    markers = bool(re.search(r"\{%-?\s*generation\s*-?%\}", template))
    request = json.dumps({"template": template, "tokens": dict(tokens)})
    command = [sys.executable, "-P", "-m", "core.models.template_probe"]
    try:
        done = subprocess.run(command, input=request, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return TemplateFacts(markers, f"it does not end within {SECONDS:.0f} s")
    if done.returncode != 0:
        return TemplateFacts(markers, _why_it_died(done.returncode, done.stderr))
    found = json.loads(done.stdout)
    known = {field.name for field in fields(TemplateFacts)}
    return TemplateFacts(markers, **{key: value for key, value in found.items() if key in known})


def _why_it_died(code: int, errors: str) -> str:
    if code < 0:
        return "it uses more processor time than a template may"
    if "MemoryError" in errors:
        return "it uses more memory than a template may"
    last = errors.strip().splitlines()[-1:]
    return f"it could not be tried: {' '.join(last)}"
