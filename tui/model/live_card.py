"""The card of whatever model the cursor is on: read when the cursor rests, kept until something changes."""

from __future__ import annotations

from pathlib import Path

from textual import work
from textual.timer import Timer

from core.memory.needs import needs
from core.memory.verdict import Room
from core.models.card import ModelCard
from core.models.listing import ModelEntry
from core.models.sources import ModelFiles, SourceKind
from tui.deck import Deck
from tui.messages import JobFailed, JobResult
from tui.model.card_lines import Line, card_lines, needs_lines
from tui.model.card_view import CardView
from tui.model.lookup import HubCard, hub_card

CARD_SECONDS = 0.15  # a cursor that moves on reads no card
HUB_CARD_SECONDS = 0.5

_KINDS: dict[str, SourceKind] = {"demo": "demo", "cache": "hub"}
Key = tuple[str, str]


class LiveCard(CardView):
    """`follow(entry)` shows a model's card as soon as it is read. Files are read in the workshop, the Hub in a thread."""

    def __init__(self, deck: Deck, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.deck = deck
        self.room = Room()
        self._entry: ModelEntry | None = None
        self._kept: dict[Key, list[Line]] = {}
        self._job: tuple[int, Key] = (0, ("", ""))
        self._timer: Timer | None = None

    def forget(self) -> None:
        """Read everything anew: the files, the recipe or the room are others now."""
        self._kept.clear()

    def follow(self, entry: ModelEntry | None, nothing: str = "") -> None:
        """Show this model; `nothing` is said when there is none."""
        if self._timer is not None:
            self._timer.stop()
        self._entry = entry
        if entry is None:
            self.put("", [("", nothing)] if nothing else [])
        elif _key(entry) in self._kept:
            self._show(entry)
        else:
            if self.title != entry.id:
                self.put(entry.id, [("", "reading")])
            wait = HUB_CARD_SECONDS if entry.source == "hub" else CARD_SECONDS
            self._timer = self.set_timer(wait, self._read)

    def _read(self) -> None:
        entry = self._entry
        if entry is not None and entry.source == "hub":
            self._read_from_hub(entry.id)
        elif entry is not None and entry.folder:
            kind = _KINDS.get(entry.source, "folder")
            files = ModelFiles(entry.id, kind, Path(entry.folder), entry.revision)
            self._job = (self.deck.jobs.submit(self, "core.models.card:card_job", files=files), _key(entry))

    @work(thread=True, exclusive=True, exit_on_error=False, group="hub card")
    def _read_from_hub(self, model: str) -> None:
        self.post_message(hub_card(model))

    def on_job_result(self, message: JobResult) -> None:
        if message.job == self._job[0]:
            self._keep(self._job[1], self._lines_of(message.value))

    def on_job_failed(self, message: JobFailed) -> None:
        if message.job == self._job[0]:
            self._keep(self._job[1], [("problem", message.what)])

    def on_hub_card(self, message: HubCard) -> None:
        lines = [("problem", message.problem)] if message.card is None else self._lines_of(message.card)
        self._keep((message.model, ""), lines)

    def _lines_of(self, card: ModelCard) -> list[Line]:
        lines = card_lines(card)
        if card.architecture is not None:
            at = next((n for n, (label, _) in enumerate(lines) if label != "problem"), len(lines))
            lines[at:at] = needs_lines(needs(card.architecture, self.deck.recipe, self.room))
        return lines

    def _keep(self, key: Key, lines: list[Line]) -> None:
        self._kept[key] = lines
        if self._entry is not None and _key(self._entry) == key:
            self._show(self._entry)

    def _show(self, entry: ModelEntry) -> None:
        lines = list(self._kept[_key(entry)])
        if entry.missing:
            lines.insert(0, ("problem", f"not whole: {entry.missing}; d goes on with the download"))
        self.put(entry.id, lines)


def _key(entry: ModelEntry) -> Key:
    return entry.id, entry.folder
