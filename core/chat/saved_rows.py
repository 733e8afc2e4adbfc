"""Which conversation was saved where, so that saving it again writes the same row of the file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.chat.conversation import Messages, save_conversation
from core.chat.dialogue import Dialogue


@dataclass(frozen=True, slots=True)
class SavedRow:
    """Where one voice's conversation up to a turn stands in a file, and what was written there."""

    who: str
    turn: int
    path: Path
    place: int
    messages: tuple[Mapping[str, Any], ...]


class SavedRows:
    """What was saved or loaded of one `Dialogue`. Turn ids tell the branches apart, so each has one of its own."""

    def __init__(self) -> None:
        self._rows: list[SavedRow] = []  # the newest last

    def last(self, talk: Dialogue, who: str) -> SavedRow | None:
        """Where the branch in view with one voice was last saved or loaded from, as far as it goes."""
        turns = {turn.id for turn in talk.branch}
        return next((row for row in reversed(self._rows) if row.who == who and row.turn in turns), None)

    def save(self, talk: Dialogue, path: Path, who: str) -> tuple[int, bool]:
        """Write one voice's conversation as a row; (its line from 1, whether it replaced its earlier form).

        Another branch is a row of its own, and so is one whose line somebody else has changed since. The voice must
        have answered something. Raises TunedeckError.
        """
        messages = talk.conversation(who)
        known = self.last(talk, who)
        if known is not None and (known.path != path or not _still_there(known)):
            known = None
        place = save_conversation(path, messages, place=known.place if known else None)
        answered = [turn.id for turn in talk.branch if turn.answers.get(who)]
        self._rows.append(SavedRow(who, answered[-1], path, place, tuple(messages)))
        return place + 1, known is not None

    def loaded(self, path: Path, number: int, messages: Messages, turn: int, names: Iterable[str]) -> None:
        """Note that conversation `number` (from 0) of a file became the past of every voice, up to `turn`."""
        line = _line_of(path, number)
        self._rows += [SavedRow(who, turn, path, line, messages) for who in names]

    def forget(self, who: str) -> None:
        """A voice has left: what the next one of its name says is saved anew."""
        self._rows = [row for row in self._rows if row.who != who]


def _line_of(path: Path, number: int) -> int:
    """The line of a conversation, both from 0: blank lines count as lines."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [place for place, line in enumerate(lines) if line.strip()][number]


def _still_there(row: SavedRow) -> bool:
    """Whether the file still has at that line what was written there; another app may have changed it."""
    try:
        line = row.path.read_text(encoding="utf-8").split("\n")[row.place]
        return bool(json.loads(line)["messages"] == list(row.messages))
    except (OSError, ValueError, LookupError, TypeError):
        return False
