"""A conversation on the screen: the tree of turns, and the answers that are growing. No widgets, no processes.

What is complete stands in the `Dialogue`; `said` holds how each answer came about, by turn and voice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from core.chat.conversation import load_conversations
from core.chat.dialogue import Dialogue, Turn, dialogue_of
from core.chat.messages import Answer, Done, Failure, Piece, Reply, Started
from core.chat.sampling import Sampling
from core.chat.saved_rows import SavedRow, SavedRows


class Voices(Protocol):
    """What a conversation needs of a `Chorus`."""

    @property
    def names(self) -> list[str]: ...
    def loaded_for(self, who: str) -> Any: ...
    def ask(self, who: str, messages: Sequence[Mapping[str, Any]], sampling: Sampling) -> int: ...


@dataclass
class Said:
    """One voice's answer to one turn, growing while it streams."""

    turn: int
    who: str
    number: int
    text: str = ""
    started: Started | None = None
    answer: Answer | None = None
    failure: str = ""
    corrected: bool = False

    @property
    def ended(self) -> bool:
        return self.answer is not None or bool(self.failure)


class Talk:
    """The turns, the answers, and the turn that keys work on (`pointed`, the last one in view unless moved)."""

    def __init__(self, system: str = "") -> None:
        self.dialogue = Dialogue(system)
        self.said: dict[tuple[int, str], Said] = {}
        self.held = False  # stopped by a person: what is still open waits to be asked again
        self._pointed: int | None = None
        self._rows = SavedRows()
        self._away: dict[Path, list[tuple[Turn, str, Said | None]]] = {}  # by the weights that said it

    # --- looking ---------------------------------------------------------------------------------------

    @property
    def branch(self) -> tuple[Turn, ...]:
        return self.dialogue.branch

    @property
    def pointed(self) -> Turn | None:
        """The turn that keys work on."""
        branch = self.branch
        return next((turn for turn in branch if turn.id == self._pointed), branch[-1] if branch else None)

    def at(self, turn: int, who: str) -> Said | None:
        """How a voice's answer came about; None for one that was loaded, or is not there."""
        return self.said.get((turn, who))

    def text(self, turn: Turn, who: str) -> str:
        """What a voice has said to a turn so far, corrected or not."""
        said = self.at(turn.id, who)
        return turn.answers.get(who, said.text if said is not None else "")

    def is_open(self, voices: Voices) -> bool:
        """Whether an answer is on its way, or waits for its model."""
        return any(not said.ended for said in self.said.values()) or (
            not self.held and any(self._next(who) is not None for who in voices.names)
        )

    def failed(self, turn: Turn, voices: Voices) -> bool:
        """Whether a turn has a voice that should have answered it and has not."""
        return any(who not in turn.answers for who in voices.names)

    def _next(self, who: str) -> int | None:
        turn = self.dialogue.open_turn(who)
        return turn if turn is not None and (turn, who) not in self.said else None

    # --- going on --------------------------------------------------------------------------------------

    def ask(self, prompt: str, expected: str = "") -> None:
        """A new turn at the end. What failed before is asked once more, so that no history has a hole."""
        self.dialogue = self.dialogue.asked(prompt, expected)
        self.again()

    def again(self) -> None:
        """Ask what is open, also what failed or was stopped before it was said."""
        self.held, self._pointed = False, None
        self.said = {key: said for key, said in self.said.items() if not said.failure}

    def branch_off(self, turn: Turn, prompt: str) -> None:
        """A branch with another prompt at a turn (or the same one); the prompts after it are asked again."""
        self.dialogue = self.dialogue.replayed(turn.id, prompt)
        self.again()

    def other_branch(self, turn: Turn, step: int) -> None:
        place = [each.id for each in self.branch].index(turn.id)
        self.dialogue = self.dialogue.other_branch(turn.id, step)
        self._pointed = self.branch[place].id

    def point(self, step: int) -> None:
        """Point at an earlier or later turn."""
        branch = self.branch
        if self.pointed is not None:
            place = [turn.id for turn in branch].index(self.pointed.id) + step
            self._pointed = branch[min(max(place, 0), len(branch) - 1)].id

    def point_at(self, turn: int) -> None:
        self._pointed = turn

    def correct(self, turn: Turn, who: str, text: str) -> None:
        """A person's own words in place of an answer; the voice goes on as if it had said them."""
        self.dialogue = self.dialogue.answered(turn.id, who, text)
        said = self.at(turn.id, who)
        if said is None:
            said = self.said[turn.id, who] = Said(turn.id, who, -1)
        said.corrected, said.failure = True, ""

    def take_back(self) -> str:
        """Remove the last turn if no voice has begun to answer it; its prompt, or nothing."""
        last = self.branch[-1] if self.branch else None
        if last is None or last.answers or any(turn == last.id for turn, _ in self.said):
            return ""
        self.dialogue = self.dialogue.taken_back()
        return last.prompt

    def set_system(self, text: str, *, on: bool) -> None:
        self.dialogue = replace(self.dialogue, system=text, with_system=on)

    def begin_anew(self) -> None:
        """An empty conversation under the same system prompt; the one before stays as a branch."""
        self.dialogue = self.dialogue.at_turn(None)

    def come_back(self) -> None:
        """From an empty conversation to the newest one."""
        first = [turn.id for turn in self.dialogue.turns if turn.parent is None]
        if first:
            self.dialogue = self.dialogue.other_branch(first[-1], 0)

    def cut_off(self, why: str) -> None:
        """What was on its way will not come: its process has been ended."""
        for said in self.said.values():
            if not said.ended:
                said.failure = why

    def send_away(self, who: str, weights: Path) -> None:
        """A voice has left. What it said is out of sight until a voice of the same weights joins."""
        said = [
            (turn, turn.answers[who], self.at(turn.id, who))
            for turn in self.dialogue.turns
            if who in turn.answers
        ]
        self._away[weights] = said + self._away.get(weights, [])
        self.forget_voice(who)

    def bring_back(self, who: str, weights: Path) -> None:
        """A voice has joined. What its weights have said here before is in view again, as far as its turns are."""
        turns = {turn.id: turn for turn in self.dialogue.turns}
        for turn, text, said in self._away.pop(weights, []):
            now = turns.get(turn.id)
            if now is None or (now.parent, now.prompt) != (turn.parent, turn.prompt):
                continue  # it was taken back; the number is that of another turn
            if who not in self.dialogue.turn(turn.id).answers:
                self.dialogue = self.dialogue.answered(turn.id, who, text)
                if said is not None:
                    self.said[turn.id, who] = replace(said, who=who)

    def forget_voice(self, who: str) -> None:
        """A voice has left: what it said is not that of the next one with its name."""
        self.said = {key: said for key, said in self.said.items() if key[1] != who}
        turns = tuple(
            replace(turn, answers={name: text for name, text in turn.answers.items() if name != who})
            for turn in self.dialogue.turns
        )
        self.dialogue = replace(self.dialogue, turns=turns)
        self._rows.forget(who)

    # --- with the voices -------------------------------------------------------------------------------

    def ask_open(self, voices: Voices, sampling: Sampling) -> None:
        """Ask every voice that is in memory the first turn in view that it has not answered."""
        if self.held:
            return
        for who in voices.names:
            turn = self._next(who)
            if turn is not None and voices.loaded_for(who) is not None:
                number = voices.ask(who, self.dialogue.history(who, turn), sampling)
                self.said[turn, who] = Said(turn, who, number)

    def take(self, message: Reply) -> Said | None:
        """Lay a worker's message on the answer it belongs to; that answer, or None if it is an old one."""
        number = getattr(message, "number", None)
        said = next((each for each in self.said.values() if each.number == number and not each.ended), None)
        if said is None:
            return None
        if isinstance(message, Started):
            said.started = message
        elif isinstance(message, Piece):
            said.text += message.text
        elif isinstance(message, Done):
            said.answer, said.text = message.answer, message.answer.text
            self.dialogue = self.dialogue.answered(said.turn, said.who, said.text)
        elif isinstance(message, Failure):
            said.failure = message.what
        return said

    def fail_waiting(self, who: str, what: str) -> None:
        """A model could not be loaded: the turn that waits for it says why, and stays."""
        turn = self._next(who)
        if turn is not None:
            self.said[turn, who] = Said(turn, who, -1, failure=what)

    # --- files -----------------------------------------------------------------------------------------

    def row(self, who: str) -> SavedRow | None:
        """Where the branch in view with one voice was last saved or loaded from, as far as it goes."""
        return self._rows.last(self.dialogue, who)

    def save(self, path: Path, who: str) -> tuple[int, bool]:
        """Write one voice's conversation as a row; (its line, whether it took the place of its earlier form).

        Another branch is a row of its own. Raises TunedeckError.
        """
        return self._rows.save(self.dialogue, path, who)

    def take_up(self, path: Path, place: int, names: Sequence[str]) -> None:
        """A conversation of a file (counted from 0) as the past of every voice; the one in view stays as a branch.

        Raises UsageError, and then nothing has changed.
        """
        messages = load_conversations(path)[place]
        found = dialogue_of(messages, names)
        talk = self.dialogue.at_turn(None)
        for turn in found.turns:
            talk = talk.asked(turn.prompt, turn.expected)
            for who, text in turn.answers.items():
                assert talk.at is not None
                talk = talk.answered(talk.at, who, text)
        self.dialogue = replace(
            talk, system=found.system or talk.system, with_system=bool(found.system)
        )  # one that was written here stays written
        self._pointed, self.held = None, False
        if talk.at is not None:
            self._rows.loaded(path, place, messages, talk.at, names)
