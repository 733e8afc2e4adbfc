"""The columns: side by side where there is room, as tabs where there is not. What is in front is worked on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from core.chat.messages import Loaded
from tui.chat.blocks import room_left
from tui.chat.talk import Talk
from tui.chat.transcript import Transcript
from tui.widgets.bars import Bar, Part
from tui.widgets.text import cut, visible

WIDE = 120  # cells from which on columns may stand side by side
NARROWEST = 36  # cells of one column


class Stage(Vertical):
    """One `Transcript` per voice. `front` is the voice that keys work on."""

    SCOPED_CSS: ClassVar[bool] = False
    DEFAULT_CSS = """
    Stage { height: 1fr; }
    Stage #voices { height: 1fr; }
    Stage Transcript { display: none; }
    Stage Transcript.front { display: block; }
    Stage.columns Transcript { display: block; border-right: solid $border; }
    Stage #room { display: none; }
    Stage #room.told { display: block; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.front = ""
        self.markdown = False
        self._talk = Talk()
        self._loaded: Mapping[str, Loaded | None] = {}

    def compose(self) -> ComposeResult:
        yield Bar(id="tabs")
        yield Horizontal(id="voices")
        yield Bar(id="room")

    @property
    def columns(self) -> list[Transcript]:
        return list(self.query(Transcript))

    @property
    def side_by_side(self) -> bool:
        """Whether all voices are in view at once."""
        count = len(self.names)
        return count < 2 or (self.size.width >= WIDE and self.size.width // count >= NARROWEST)

    @property
    def _tabs(self) -> list[str]:
        return [f" {cut(visible(name), 24)} " for name in self.names]

    def column(self, who: str) -> Transcript:
        return next(column for column in self.columns if column.who == who)

    async def cast(self, names: Sequence[str], front: str = "") -> None:
        """Have a column for each of these voices, in this order, and one of them in front."""
        self.names = list(names)
        wanted = front or self.front
        self.front = wanted if wanted in self.names else self.names[-1]
        row = self.query_one("#voices", Horizontal)
        for column in self.columns:
            if column.who not in self.names:
                await column.remove()
        for who in self.names:
            if who not in [column.who for column in self.columns]:
                await row.mount(Transcript(who))
        row.sort_children(key=lambda column: self.names.index(column.who))  # type: ignore[attr-defined]
        self._arrange()

    def show(self, talk: Talk, loaded: Mapping[str, Loaded | None]) -> None:
        """`loaded` is what answers in each column, None while it is not in memory."""
        self._talk, self._loaded = talk, loaded
        tabs = [
            Part(text, "current" if name == self.front else "")
            for name, text in zip(self.names, self._tabs, strict=True)
        ]
        self.query_one("#tabs", Bar).put(0, tabs)
        room = room_left(talk, self.front, loaded.get(self.front))
        self.query_one("#room", Bar).put(0, [Part(f" ! {room}", "key")] if room else [])
        self.query_one("#room", Bar).set_class(bool(room), "told")
        for column in self.columns:
            column.markdown = self.markdown
            column.notes = self._notes_of(column.who)
            column.show(talk)

    def _notes_of(self, who: str) -> tuple[str, ...]:
        """What there is to know of a column's model, unless the status line says it of the first one."""
        known = [found for found in self._loaded.values() if found is not None]
        own = self._loaded.get(who)
        return own.notes if own is not None and own.notes != known[0].notes else ()

    def turn_to(self, who: str) -> None:
        """Bring a voice to the front, with the focus if another column had it."""
        had_focus = any(column.has_focus for column in self.columns)
        self.front = who
        self._arrange()
        self.show(self._talk, self._loaded)
        if had_focus:
            self.focus_front()

    def turn_to_next(self) -> None:
        self.turn_to(self.names[(self.names.index(self.front) + 1) % len(self.names)])

    def focus_front(self) -> None:
        if self.names:
            self.column(self.front).focus()

    def follow(self) -> None:
        """Every column goes to its end and stays there."""
        for column in self.columns:
            column.following = True

    def bring_into_view(self, turn: int) -> None:
        for column in self.columns:
            column.bring_into_view(turn)

    def on_click(self, event: events.Click) -> None:
        """A click on a tab brings its voice to the front."""
        if event.widget is not self.query_one("#tabs"):
            return
        x = event.screen_x - self.query_one("#tabs").region.x
        for name, text in zip(self.names, self._tabs, strict=True):
            x -= cell_len(text)
            if x < 0:
                self.turn_to(name)
                return

    def on_resize(self) -> None:
        self._arrange()

    def _arrange(self) -> None:
        together = self.side_by_side
        self.set_class(together and len(self.names) > 1, "columns")
        self.query_one("#tabs").display = not together
        for column in self.columns:
            column.set_class(column.who == self.front, "front")
