"""Which keys of the chat work now, and why not."""

from __future__ import annotations

from core.chat.chorus import Chorus
from tui.chat.talk import Talk

NEED_REST = frozenset(
    {"ask", "retry", "edit", "correct", "pick", "inspect", "load", "new", "refresh", "branch"}
)  # not while an answer is on its way
NEED_A_TURN = frozenset({"retry", "edit", "correct", "save", "new", "inspect", "copy", "point"})
NEED_AN_ANSWER = frozenset({"inspect", "copy", "correct"})


def why_not(action: str, talk: Talk, voices: Chorus | None, front: str, *, together: bool) -> str:
    """Why an action cannot work now, empty when it can. `together`: every voice is in view."""
    if voices is None:
        return "no model is chosen yet"
    if action in NEED_REST and talk.is_open(voices):
        return "an answer is on its way; esc stops it"
    turn = talk.pointed
    if action in NEED_A_TURN and turn is None:
        return "nothing has been asked yet"
    if action in NEED_AN_ANSWER and turn is not None and front not in turn.answers:
        return f"{front} has not answered this"
    if action == "inspect" and turn is not None:
        said = talk.at(turn.id, front)
        if said is None or said.answer is None:
            return "this answer was loaded from a file; r asks anew"
        if said.corrected:
            return "this answer was corrected by hand; r asks anew"
    if action == "branch" and not talk.dialogue.turns:
        return "nothing has been asked yet"
    if action == "branch" and turn is not None and len(talk.dialogue.branches(turn.id)) < 2:
        return "this turn has one branch; r and e make more"
    if action == "save" and not talk.dialogue.conversation(front):
        return f"{front} has not answered yet"
    if action in ("pick", "refresh") and voices.subject.run is None:
        return "only a run has held-out prompts and checkpoints; this is a model"
    if action == "system_switch" and not talk.dialogue.system:
        return "there is no system prompt; s writes one"
    if action == "other_voice" and (len(voices.names) < 2 or together):
        return "all voices are in view"
    return ""
