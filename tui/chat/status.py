"""The top of the Chat panel: what is loaded, and how it decodes."""

from __future__ import annotations

from core.chat.chorus import Chorus
from core.chat.sampling import Sampling, laid_over
from tui.widgets.bars import Part
from tui.widgets.numbers import gib
from tui.widgets.text import visible, wrap

MOST_LINES = 5


def status(voices: Chorus | None, problem: str, sampling: Sampling, width: int) -> list[list[Part]]:
    """One line; a problem has as many as it needs, up to five."""
    if problem:
        lines = wrap(visible(problem, lines=True), width - 2)[:MOST_LINES]
        return [[Part(f" {'✗' if not n else ' '} {line}", "bad")] for n, line in enumerate(lines)]
    return [_state(voices, sampling)]


def _state(voices: Chorus | None, sampling: Sampling) -> list[Part]:
    if voices is None:
        return [Part(" choosing a model", "muted")]
    label = Part(f" {visible(voices.subject.label)} ", "name")
    loaded = next((found for who in voices.names if (found := voices.loaded_for(who))), None)
    if loaded is None:
        return [label, Part(" ◌ loading", "muted")]
    missing = [visible(who) for who in voices.names if voices.loaded_for(who) is None]
    waits = [Part(f" ◌ loading {', '.join(missing)}", "key")] if missing else []
    used = laid_over(sampling, loaded.decoding)
    whose = "the model's own" if sampling == Sampling() else "set here"
    how = f" {loaded.device} {loaded.dtype} {gib(loaded.memory_bytes)} · {used} ({whose})"
    notes = [Part(f" ! {visible(note)}", "key") for note in loaded.notes]
    return [label, *waits, *notes, Part(how, "muted")]


def placeholder(voices: Chorus | None) -> str:
    """What an empty field asks for."""
    names = voices.names if voices is not None else []
    loaded = voices.loaded_for(names[0]) if voices is not None else None
    if loaded is not None and not loaded.has_template:
        return "a text to go on with: this model has no chat template"
    if len(names) > 1:
        return f"ask {', '.join(visible(name) for name in names[:-1])} and {visible(names[-1])} the same"
    return "ask the model"
