"""A conversation with several voices at once: what was asked, what each answered. No widgets, no processes.

Every voice has its own history: what it was asked and what it answered itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from core.chat.messages import Answer, Done, Failure, Piece, Reply, Started


@dataclass
class Said:
    """One voice's answer, growing while it streams."""

    who: str
    number: int
    text: str = ""
    started: Started | None = None
    answer: Answer | None = None
    failure: str = ""

    @property
    def ended(self) -> bool:
        return self.answer is not None or bool(self.failure)


@dataclass
class Turn:
    """A prompt and its answers by voice. `expected` is the held-out row's own answer, if it came from one."""

    prompt: str
    expected: str = ""
    said: dict[str, Said] = field(default_factory=dict)


@dataclass
class Session:
    """The turns so far, and the system prompt they run under."""

    system: str = ""
    turns: list[Turn] = field(default_factory=list)

    def history(self, who: str, turn: Turn | None = None) -> list[dict[str, Any]]:
        """Messages up to and with the prompt of `turn` (the last one unless given), as this voice saw them."""
        messages: list[dict[str, Any]] = []
        if self.system:
            messages.append({"role": "system", "content": self.system})
        for each in self.turns:
            messages.append({"role": "user", "content": each.prompt})
            if each is (turn or self.turns[-1]):
                break
            said = each.said.get(who)
            messages.append({"role": "assistant", "content": said.text if said else ""})
        return messages

    def conversation(self, who: str) -> list[dict[str, Any]]:
        """The whole conversation with one voice, as a training row."""
        if not self.turns:
            return []
        messages = self.history(who)
        last = self.turns[-1].said.get(who)
        return [*messages, {"role": "assistant", "content": last.text}] if last and last.text else messages

    def take(self, message: Reply) -> Said | None:
        """Lay a worker's message on the answer it belongs to; that answer, or None if it is an old one."""
        number = getattr(message, "number", None)
        for turn in reversed(self.turns):
            for said in turn.said.values():
                if said.number != number or said.ended:
                    continue
                if isinstance(message, Started):
                    said.started = message
                elif isinstance(message, Piece):
                    said.text += message.text
                elif isinstance(message, Done):
                    said.answer, said.text = message.answer, message.answer.text
                elif isinstance(message, Failure):
                    said.failure = message.what
                return said
        return None
