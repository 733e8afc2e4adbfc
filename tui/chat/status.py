"""The top of the Chat panel: what is loaded, and how it decodes."""

from __future__ import annotations

from core.chat.chorus import Chorus
from core.chat.room import Need
from core.chat.sampling import Sampling, laid_over
from tui.widgets.bars import Part
from tui.widgets.numbers import gib
from tui.widgets.text import visible, wrap

MOST_LINES = 5


def status(
    voices: Chorus | None, problem: str, sampling: Sampling, need: Need | None, width: int
) -> list[list[Part]]:
    """One line; while it loads also what it needs, and a problem has as many lines as it takes, up to five."""
    if problem:
        lines = wrap(visible(problem, lines=True), width - 2)[:MOST_LINES]
        return [[Part(f" {'✗' if not n else ' '} {line}", "bad")] for n, line in enumerate(lines)]
    first = _state(voices, sampling, need)
    if need is None or voices is None or any(voices.loaded_for(who) for who in voices.names):
        return [first]
    return [first, *([Part(f"   {line}", "muted")] for line in wrap(str(need), width - 3))]


def _state(voices: Chorus | None, sampling: Sampling, need: Need | None) -> list[Part]:
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
    if need is not None and need.verdict == "tight":
        notes.append(Part(" ! memory is tight: long conversations may not fit", "key"))
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
