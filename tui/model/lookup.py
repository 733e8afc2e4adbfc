"""What the Model panel looks up in threads: the list, the Hub, removals. Threads only post messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

from core.errors import TunedeckError
from core.memory.devices import read_devices, room_for
from core.memory.verdict import Room
from core.models.card import ModelCard
from core.models.hub_search import HubQuery, HubSearch
from core.models.listing import ModelEntry, local_models
from core.models.remove import Removal

if TYPE_CHECKING:
    from core.recipe import Recipe
    from core.workspace import Workspace


class Scanned(Message, bubble=False):
    """The models of this machine."""

    def __init__(self, entries: list[ModelEntry], room: Room) -> None:
        super().__init__()
        self.entries = entries
        self.room = room


class HubPage(Message, bubble=False):
    """A page of the Hub's answer to a search, or why there is none."""

    def __init__(self, search: Search, entries: list[ModelEntry], problem: str = "") -> None:
        super().__init__()
        self.search = search
        self.entries = entries
        self.problem = problem


class HubCard(Message, bubble=False):
    """The card of a model on the Hub, or why there is none."""

    def __init__(self, model: str, card: ModelCard | None, problem: str = "") -> None:
        super().__init__()
        self.model = model
        self.card = card
        self.problem = problem


class RemovalPlanned(Message, bubble=False):
    """What removing a model would free."""

    def __init__(self, removal: Removal | None, problem: str = "") -> None:
        super().__init__()
        self.removal = removal
        self.problem = problem


@dataclass
class Search:
    """One search of the Hub and what it has given so far."""

    query: HubQuery
    hub: HubSearch
    found: list[ModelEntry]
    state: str = "Hub: searching"
    more: bool = False

    @classmethod
    def of(cls, query: HubQuery) -> Search:
        return cls(query, HubSearch(query), [])


def scan(workspace: Workspace, recipe: Recipe) -> Scanned:
    """Everything on this machine, and the room models have here."""
    try:
        room = room_for(recipe, read_devices(slow=False, processes=False))
    except TunedeckError:
        room = Room()
    return Scanned(local_models(workspace), room)


def next_page(search: Search, size: int) -> HubPage:
    """The next models of a search."""
    try:
        return HubPage(search, search.hub.page(size))
    except TunedeckError as error:
        return HubPage(search, [], f"{error.what}; {error.fix}" if error.fix else error.what)


def hub_card(model: str) -> HubCard:
    """Read a card from the Hub."""
    from core.models.hub_card import read_hub_card

    try:
        return HubCard(model, read_hub_card(model))
    except TunedeckError as error:
        return HubCard(model, None, str(error))


def planned_removal(model: str, revision: str) -> RemovalPlanned:
    """Ask the cache what a removal would free."""
    from core.models.remove import plan_removal

    try:
        return RemovalPlanned(plan_removal(model, revision))
    except TunedeckError as error:
        return RemovalPlanned(None, str(error))
