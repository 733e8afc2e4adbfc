"""How the state of a run and the severity of a finding look: a mark and a word, so that no meaning hangs on hue."""

from __future__ import annotations

STATES: dict[str, tuple[str, str]] = {
    "queued": ("…", ""),
    "prepared": ("◌", ""),
    "starting": ("◌", ""),
    "running": ("●", "good"),
    "done": ("✓", "good"),
    "stopped": ("■", ""),
    "killed": ("■", "bad"),
    "failed": ("✗", "bad"),
    "out_of_memory": ("✗", "bad"),
    "lost": ("?", "bad"),
}

SEVERITIES = {"error": "✗", "warning": "!", "note": "·"}


def mark(state: str) -> str:
    """`● running`, `✗ out of memory`."""
    return f"{STATES.get(state, ('·', ''))[0]} {state.replace('_', ' ')}"


def style(state: str) -> str:
    return STATES.get(state, ("", ""))[1]
