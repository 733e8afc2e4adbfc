"""How the state of a run looks: a mark, a word and a style, so that no meaning hangs on hue."""

from __future__ import annotations

STATES: dict[str, tuple[str, str]] = {
    "starting": ("◌", ""),
    "running": ("●", "good"),
    "done": ("✓", "good"),
    "stopped": ("■", ""),
    "failed": ("✗", "bad"),
    "out_of_memory": ("✗", "bad"),
    "lost": ("?", "bad"),
}


def mark(state: str) -> str:
    """`● running`, `✗ out of memory`."""
    return f"{STATES.get(state, ('·', ''))[0]} {state.replace('_', ' ')}"


def style(state: str) -> str:
    return STATES.get(state, ("", ""))[1]
