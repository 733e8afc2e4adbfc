"""The chat's entries in the command palette."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tui.panel import Command

if TYPE_CHECKING:
    from tui.chat.panel import ChatPanel


def commands(panel: ChatPanel) -> Iterable[Command]:
    """Those that can be used now."""
    for title, about, action, call in (
        ("held-out prompts", "choose one; its own answer is shown beside", "pick", panel.action_pick),
        ("inspect", "prompt ids and how sure each token was", "inspect", panel.action_inspect),
        ("copy", "the answer to the turn in hand", "copy", panel.action_copy),
        ("again", "ask the turn in hand again, as a branch", "retry", panel.action_retry),
        ("edit", "the prompt of the turn in hand, as a branch", "edit", panel.action_edit),
        ("correct", "the answer in front, in your own words", "correct", panel.action_correct),
        ("columns", "add a run or a model, or take one away", "columns", panel.action_columns),
        ("newer checkpoint", "what the run has saved since", "refresh", panel.action_refresh),
        ("system prompt", "write it", "system", panel.action_system),
        ("system prompt on and off", "for what is asked next", "system_switch", panel.action_system_switch),
        ("sampling", "temperature, top-p, seed and the model's own", "sampling", panel.action_sampling),
        ("Markdown", "draw answers, or show what was written", "markdown", panel.action_markdown),
        ("save", "the conversation in front as a training row", "save", panel.action_save),
        ("load", "take up a conversation of a file", "load", panel.action_load),
        ("new", "forget this conversation", "new", panel.action_new),
    ):
        if not panel.why_not(action):
            yield f"chat: {title}", about, call
