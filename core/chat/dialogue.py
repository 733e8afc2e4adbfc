"""A conversation with several voices as one value: turns that can be edited, tried again and branched.

Nothing is ever changed in place and nothing is lost: editing an earlier turn opens a branch beside it. Every
voice has its own history, which is what it was asked and what it answered itself.

talk = Dialogue().asked("Hi")                # one prompt to all voices
talk = talk.answered(talk.at, "tuned", "Hello")
talk = talk.edited(talk.at, "Good day")      # a branch; the first stays
talk.history("tuned")                        # messages to send: up to and with the prompt
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Turn:
    """One prompt and what each voice answered. `parent` is the turn before it, None for a first one.

    `expected` is the answer that a data row gives, for a prompt that was taken from one.
    """

    id: int
    parent: int | None
    prompt: str
    expected: str = ""
    answers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A tree of turns and the turn in view (`at`), which ends the branch that is shown and continued."""

    system: str = ""
    with_system: bool = True
    turns: tuple[Turn, ...] = ()
    at: int | None = None

    # --- looking ---------------------------------------------------------------------------------------

    @property
    def branch(self) -> tuple[Turn, ...]:
        """The turns from the first to the one in view."""
        return self.path_to(self.at)

    def turn(self, id: int) -> Turn:
        """One turn. Raises UsageError if there is none of this id."""
        for turn in self.turns:
            if turn.id == id:
                return turn
        raise UsageError(f"there is no turn {id}", where="conversation", fix="name one that is in view")

    def path_to(self, id: int | None) -> tuple[Turn, ...]:
        """The turns from the first to this one; none for None."""
        path: list[Turn] = []
        while id is not None:
            path.append(self.turn(id))
            id = path[-1].parent
        return tuple(reversed(path))

    def branches(self, id: int) -> tuple[int, ...]:
        """This turn and the others in its place, the oldest first."""
        parent = self.turn(id).parent
        return tuple(turn.id for turn in self.turns if turn.parent == parent)

    def history(self, who: str, id: int | None = None) -> list[dict[str, Any]]:
        """Messages up to and with the prompt of a turn (the one in view unless given), as this voice saw them."""
        path = self.path_to(self.at if id is None else id)
        messages = [{"role": "system", "content": self.system}] if self.system and self.with_system else []
        for turn in path:
            messages.append({"role": "user", "content": turn.prompt})
            if turn is not path[-1]:
                messages.append({"role": "assistant", "content": turn.answers.get(who, "")})
        return messages

    def conversation(self, who: str) -> list[dict[str, Any]]:
        """The branch in view with one voice, as a training row: it ends with the last answer there is."""
        path = self.branch
        while path and not path[-1].answers.get(who):
            path = path[:-1]
        if not path:
            return []
        return [
            *self.history(who, path[-1].id),
            {"role": "assistant", "content": path[-1].answers[who]},
        ]

    def open_turn(self, who: str) -> int | None:
        """The first turn in view that this voice has not answered: what a replay, or a new column, asks next."""
        return next((turn.id for turn in self.branch if who not in turn.answers), None)

    # --- going on --------------------------------------------------------------------------------------

    def asked(self, prompt: str, expected: str = "") -> Dialogue:
        """A new turn after the one in view."""
        return self._with_turn(self.at, prompt, expected)

    def answered(self, id: int, who: str, text: str) -> Dialogue:
        """A voice's answer, or a person's correction of it, noted at its turn."""
        answers = MappingProxyType({**self.turn(id).answers, who: text})
        turns = tuple(replace(turn, answers=answers) if turn.id == id else turn for turn in self.turns)
        return replace(self, turns=turns)

    def edited(self, id: int, prompt: str) -> Dialogue:
        """A branch beside a turn with another prompt and no answers yet. The first stays as it was."""
        turn = self.turn(id)
        expected = turn.expected if prompt == turn.prompt else ""
        return self._with_turn(turn.parent, prompt, expected)

    def retried(self, id: int) -> Dialogue:
        """A branch beside a turn with the same prompt, to be answered anew."""
        return self.edited(id, self.turn(id).prompt)

    def replayed(self, id: int, prompt: str) -> Dialogue:
        """As `edited`, with the prompts that came after it in the branch in view: `open_turn` gives them in order."""
        path = self.branch
        later = path[[turn.id for turn in path].index(id) + 1 :] if self.turn(id) in path else ()
        talk = self.edited(id, prompt)
        for turn in later:
            talk = talk.asked(turn.prompt, turn.expected)
        return talk

    def taken_back(self) -> Dialogue:
        """The turn in view removed with what follows it; the one before it comes into view."""
        if self.at is None:
            return self
        gone = {self.at}
        for turn in self.turns:  # a child always stands after its parent
            if turn.parent in gone:
                gone.add(turn.id)
        kept = tuple(turn for turn in self.turns if turn.id not in gone)
        return replace(self, turns=kept, at=self.turn(self.at).parent)

    def at_turn(self, id: int | None) -> Dialogue:
        """Another turn in view; None begins anew with the other branches kept."""
        if id is not None:
            self.turn(id)
        return replace(self, at=id)

    def other_branch(self, id: int, step: int = 1) -> Dialogue:
        """The next (or an earlier) branch in the place of a turn, followed to its newest end."""
        beside = self.branches(id)
        end = beside[(beside.index(id) + step) % len(beside)]
        while children := [turn.id for turn in self.turns if turn.parent == end]:
            end = children[-1]
        return replace(self, at=end)

    def _with_turn(self, parent: int | None, prompt: str, expected: str) -> Dialogue:
        id = max((turn.id for turn in self.turns), default=0) + 1
        return replace(self, turns=(*self.turns, Turn(id, parent, prompt, expected)), at=id)


def dialogue_of(messages: Sequence[Mapping[str, Any]], voices: Sequence[str]) -> Dialogue:
    """A saved conversation taken up again: its answers are every voice's past, and the expected ones.

    Raises UsageError for turns that are not a user's and an assistant's in words, by turns.
    """
    rest = list(messages)
    system = ""
    if rest and rest[0].get("role") == "system":
        system = _words(rest.pop(0))
    talk = Dialogue(system)
    for number, message in enumerate(rest):
        role = "assistant" if number % 2 else "user"
        if message.get("role") != role:
            raise UsageError(
                f"message {number + 1} is of the role {message.get('role')}, not {role}",
                where="conversation",
                fix="only user and assistant by turns can be gone on with here",
            )
        if role == "user":
            talk = talk.asked(_words(message), _words(rest[number + 1]) if number + 1 < len(rest) else "")
        else:
            for who in voices:
                assert talk.at is not None
                talk = talk.answered(talk.at, who, _words(message))
    return talk


def _words(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if not isinstance(content, str):
        raise UsageError(
            "a message holds something other than text",
            where="conversation",
            fix="only text can be gone on with here",
        )
    return content
