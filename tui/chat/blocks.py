"""What one voice's side of a conversation consists of: pieces of text with a style, before they are wrapped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.chat.dialogue import Turn
from core.chat.messages import Answer, Loaded
from tui.chat.talk import Said, Talk
from tui.widgets.numbers import gib
from tui.widgets.text import visible

NEARLY_FULL = 0.75  # of the context: from here on it is said how much room is left


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of the conversation in one style. `turn` is the turn it belongs to; `prose` may be Markdown."""

    text: str
    style: str = ""
    turn: int = 0
    prose: bool = False


NOTHING_YET = (
    "Write below and press Enter: every voice is asked the same.",
    "Esc leaves the field; then p takes a held-out prompt, a adds a run or a model, s writes a system prompt, "
    "t sets the sampling and o takes up a saved conversation.",
)


def blocks(talk: Talk, who: str, notes: Sequence[str] = ()) -> list[Block]:
    """The branch in view as one voice had it, below what there is to know of its model."""
    dialogue = talk.dialogue
    found = [Block(f"! {visible(note)}", "warned") for note in notes]
    if not talk.branch:
        found += [Block(line, "muted") for line in NOTHING_YET]
        if dialogue.turns:
            found.append(Block("← brings the conversation before back.", "muted"))
    if dialogue.system:
        off = "" if dialogue.with_system else " (off)"
        found += [Block(f"system{off}: {visible(dialogue.system, lines=True)}", "muted"), Block("")]
    pointed = talk.pointed
    for turn in talk.branch:
        mark = "▸" if turn is pointed else "›"
        found.append(Block(f"{mark} {visible(turn.prompt, lines=True)}", "asked", turn.id))
        beside = dialogue.branches(turn.id)
        if len(beside) > 1:
            at = beside.index(turn.id) + 1
            found.append(Block(f"  branch {at} of {len(beside)}: ← → show the others", "muted", turn.id))
        found += _answer(talk, turn, who)
        found.append(Block("", "", turn.id))
    return found


def _answer(talk: Talk, turn: Turn, who: str) -> list[Block]:
    said, text = talk.at(turn.id, who), talk.text(turn, who)
    found: list[Block] = []
    if turn.expected and turn.expected.strip() != text.strip():
        found.append(Block(f"expected: {visible(turn.expected, lines=True)}", "muted", turn.id))
    if said is not None and said.started is not None:
        found += [Block(f"! {visible(each)}", "warned", turn.id) for each in said.started.warnings]
    streams = said is not None and not said.ended and not said.corrected
    if text or streams:
        shown = visible(text, lines=True)
        found.append(Block(f"{shown}▌" if streams else shown, "", turn.id, prose=not streams))
    if said is None:
        waits = who not in turn.answers and not talk.held
        if waits:
            found.append(Block("◌ waits to be answered", "muted", turn.id))
        elif who not in turn.answers:
            found.append(Block("not answered; r asks", "muted", turn.id))
        return found
    if said.failure:
        found.append(Block(f"✗ {visible(said.failure, lines=True)}", "warned", turn.id))
    if said.corrected:
        found.append(Block("✎ corrected by hand", "muted", turn.id))
    elif said.answer is not None:
        if turn.expected and text.strip() == turn.expected.strip():
            found.append(Block("✓ as expected", "muted", turn.id))
        found.append(Block(figures(said.answer), "muted", turn.id))
    return found


def figures(answer: Answer) -> str:
    """The figures below an answer: time to the first token, speed, tokens, how it ended, memory."""
    ended = f"stop {visible(answer.stop_token)}" if answer.stop_token else answer.stop
    parts = [f"{answer.first_token_seconds:.2f}s first"]
    if answer.tokens_per_second:
        parts.append(f"{answer.tokens_per_second:.0f} tok/s")
    parts += [f"{len(answer.ids)} tokens", ended]
    if answer.seed is not None:
        parts.append(f"seed {answer.seed}")
    if answer.peak_bytes:
        parts.append(f"peak {gib(answer.peak_bytes)}")
    return " · ".join(parts)


def proof(said: Said | None) -> str:
    """Who answered, read by the worker from the model itself."""
    if said is None or said.answer is None:
        return ""
    evidence = said.answer.proof
    adapter = f"adapter {'on' if evidence.active else 'off'}" if evidence.adapter else "no adapter"
    return f"{adapter} · logits {evidence.first_step[:8]}"


def room_left(talk: Talk, who: str, loaded: Loaded | None) -> str:
    """What will be cut when the context is nearly full; empty while there is room."""
    turn = next((each for each in reversed(talk.branch) if who in each.answers), None)
    said = talk.at(turn.id, who) if turn is not None else None
    if loaded is None or not loaded.context_length or said is None or said.answer is None:
        return ""
    used = len(said.answer.prompt_ids) + len(said.answer.ids)
    if used < NEARLY_FULL * loaded.context_length:
        return ""
    return (
        f"{used:,} of {loaded.context_length:,} context tokens used: "
        "when they are full, the oldest turns after the system prompt are left out"
    )
