"""Who answers in the Chat panel: choosing and changing models, and what their processes send."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from textual.timer import Timer

from core.chat.chorus import Chorus
from core.chat.messages import BASE, Failure, Inspection, Loaded, Reply
from core.chat.room import Need, need, require_room
from core.chat.sampling import Sampling
from core.chat.subject import Subject, of_run, shares_worker, subject
from core.errors import TunedeckError
from core.memory.devices import read_devices
from core.runs.folder import Run
from tui.chat.choosing import first_choice, newer, runs_with_a_result
from tui.chat.prompt import Prompt
from tui.chat.stage import Stage
from tui.chat.status import placeholder, status
from tui.chat.talk import Said, Talk
from tui.deck import Deck
from tui.messages import OpenRun
from tui.panel import Panel
from tui.widgets.bars import Bar
from tui.widgets.text import visible

# Tokens come faster than a screen needs: what has arrived is shown four times a second.
FLUSH_SECONDS = 0.25


class CastPanel(Panel):
    """The voices, the conversation with them, and the timer that reads what they say."""

    SCOPED_CSS: ClassVar[bool] = False

    def __init__(self, deck: Deck) -> None:
        super().__init__(deck)
        self.talk = Talk()
        self._talks: dict[str, Talk] = {}  # by model: one that is chosen again goes on where it was
        self.voices: Chorus | None = None
        self.sampling = Sampling()
        self.problem = ""
        self.need: Need | None = None  # what the first models take, once it has been worked out
        self.picking = 0  # number of the job that reads the held-out prompts
        self.inspecting: tuple[int, Said] | None = None  # number of the open question, and its answer
        self.first_names: tuple[
            str, ...
        ] = ()  # the voices of the model that was chosen, without further ones
        self._weights: dict[str, Path] = {}  # by column: what was loaded for it
        self.newest: tuple[Subject, str] | None = None  # what the run had saved last, and its column
        self._timer: Timer | None = None

    @property
    def stage(self) -> Stage:
        return self.query_one(Stage)

    def on_mount(self) -> None:
        self._timer = self.set_interval(FLUSH_SECONDS, self.flush, pause=True)

    def on_unmount(self) -> None:
        if self.voices is not None:
            self.voices.close()

    # Choosing. Disks are read in a thread; one choice is under way at a time.

    def shown(self) -> None:
        if self.voices is None and not self.problem:
            self._choose(lambda: first_choice(self.deck.workspace, self.deck.recipe))

    def on_open_run(self, message: OpenRun) -> None:
        if self.voices is None or self.voices.subject.run != message.folder:
            self._choose(lambda: of_run(Run(message.folder), self.deck.workspace))

    def _choose(self, find: Callable[[], Subject]) -> None:
        async def choose() -> None:
            try:
                await self._talk_to(await asyncio.to_thread(find))
            except TunedeckError as error:
                self.say_problem(str(error))

        self.run_worker(choose(), group="cast", exclusive=True)

    async def _talk_to(self, chosen: Subject) -> None:
        """Begin with this model. It is loaded at once, so that the first answer does not wait for it."""
        if self.voices is not None:
            await asyncio.to_thread(self.voices.close)
            self.talk.cut_off("another model was chosen; r asks again")
        self.talk = self._talks.setdefault(chosen.label, Talk(chosen.system))
        self.voices, self.problem, self.inspecting = Chorus(chosen), "", None
        self.first_names = tuple(self.voices.names)
        self._weights = {
            who: (chosen.base_folder or chosen.model_folder) if who == BASE else _weights_of(chosen)
            for who in self.first_names
        }
        self.newest = chosen, self.first_names[-1]
        await self.stage.cast(self.voices.names, self.first_names[-1])
        await self._load(self.voices)

    async def _load(self, voices: Chorus) -> None:
        """Say what it needs in memory, then load it, unless it does not fit."""
        self.need = None
        self.draw()
        self.need = await asyncio.to_thread(lambda: voices.need(read_devices(slow=False, processes=False)))
        require_room(self.need)
        voices.start()
        self.wake()
        self.draw()

    # Columns

    def action_columns(self) -> None:
        if self.refused("columns"):
            return

        async def ask() -> None:
            from tui.chat.columns import ColumnsScreen

            runs = await asyncio.to_thread(runs_with_a_result, self.deck.workspace)
            if self.voices is not None:
                self.app.push_screen(ColumnsScreen(self.voices.names, runs), self._column_chosen)

        self.run_worker(ask(), group="cast", exclusive=True)

    def _column_chosen(self, chosen: tuple[str, str] | None) -> None:
        if chosen is not None:
            verb, name = chosen
            change = self._drop(name) if verb == "drop" else self._add(name)
            self.run_worker(self._or_refuse(change), group="cast", exclusive=True)

    async def _or_refuse(self, change: Any) -> None:
        try:
            await change
        except TunedeckError as error:
            self.refuse(str(error))

    async def _add(self, named: str) -> None:
        """One more column; it answers the conversation so far, prompt by prompt."""
        found = await asyncio.to_thread(subject, named, self.deck.workspace)
        if self.voices is not None:
            self.say(f"{visible(found.label)}: {await asyncio.to_thread(_room_for, found, self.voices)}")
            await self._join(found, found.label)

    async def _join(self, found: Subject, name: str) -> None:
        assert self.voices is not None
        name = self.voices.add(found, name)
        self._weights[name] = _weights_of(found)
        self.talk.bring_back(name, self._weights[name])
        self.voices.start()
        await self.stage.cast(self.voices.names, name)
        self.talk.held = False
        self.go_on()

    async def _drop(self, name: str) -> None:
        assert self.voices is not None
        self.voices.drop(name)
        self.talk.send_away(name, self._weights.pop(name))
        await self.stage.cast(self.voices.names)
        self.draw()

    def action_refresh(self) -> None:
        if self.refused("refresh") or self.voices is None:
            return
        self.run_worker(self._or_refuse(self._refresh(self.voices)), group="cast", exclusive=True)

    async def _refresh(self, voices: Chorus) -> None:
        """What the run has saved since takes the place of what was its newest here."""
        assert self.newest is not None, "set with the voices"
        here, old = self.newest
        found = await asyncio.to_thread(newer, here, self.deck.workspace)
        if found is None:
            self.say("this is the newest the run has saved")
            return
        name = found.label.partition(":")[2] or "final"
        if not shares_worker(voices.subject, found) and old in voices.names and len(voices.names) > 1:
            await self._drop(old)  # the new one gets a process of its own: first give the memory back
        await self._join(found, name)
        if old in voices.names:
            await self._drop(old)
        self.newest = found, name
        self.say(f"{name} answers in place of {old}")

    # What the processes send

    def wake(self) -> None:
        if self._timer is not None:
            self._timer.resume()

    def go_on(self) -> None:
        """Ask what is open; every column follows its end."""
        if self.voices is None:
            return
        for message in self.voices.poll():  # tells whether a process has ended since, so that it starts anew
            self._take(message, self.voices)
        self.voices.start()
        self.talk.ask_open(self.voices, self.sampling)
        self.stage.follow()
        self.wake()
        self.draw()

    def flush(self) -> None:
        """Show what has arrived since the last time."""
        voices = self.voices
        if voices is None:
            return
        messages = voices.poll()
        for message in messages:
            self._take(message, voices)
        self.talk.ask_open(voices, self.sampling)
        if messages:
            self.draw()
        if not voices.busy and not messages and self._timer is not None:
            self._timer.pause()

    def _take(self, message: Reply, voices: Chorus) -> None:
        if isinstance(message, Loaded):
            self.problem = ""
        elif isinstance(message, (Inspection, Failure)) and self._is_inspection(message):
            self.inspected(message)
        elif self.talk.take(message) is None and isinstance(message, Failure):
            self._not_loaded(message, voices)

    def _is_inspection(self, message: Inspection | Failure) -> bool:
        return self.inspecting is not None and message.number == self.inspecting[0]

    def inspected(self, message: Inspection | Failure) -> None:
        """An answer has been looked into."""
        raise NotImplementedError

    def _not_loaded(self, failure: Failure, voices: Chorus) -> None:
        """A model or an adapter cannot be had. The first one is a problem; a further column leaves again."""
        for who in voices.waiting_for(failure.number):
            if who in self.first_names:
                self.say_problem(failure.what)
                self.talk.fail_waiting(who, failure.what)
            else:
                self.refuse(f"{visible(who)}: {failure.what}")
                self.run_worker(self._or_refuse(self._drop(who)), group="failed")

    # Drawing

    def say_problem(self, what: str) -> None:
        self.problem = what
        self.draw()

    def draw(self) -> None:
        voices = self.voices
        loaded = {who: voices.loaded_for(who) for who in voices.names} if voices is not None else {}
        with self.app.batch_update():
            self._show_status()
            self.stage.show(self.talk, loaded)
            self.query_one("#prompt", Prompt).placeholder = placeholder(self.voices)
        self.refresh_bindings()

    def on_resize(self) -> None:
        self._show_status()

    def _show_status(self) -> None:
        bar = self.query_one("#status", Bar)
        lines = status(self.voices, self.problem, self.sampling, self.need, self.app.size.width - 2)
        bar.styles.height = len(lines)
        for number, parts in enumerate(lines):
            bar.put(number, parts)


def _weights_of(found: Subject) -> Path:
    return found.adapter or found.model_folder


def _room_for(found: Subject, voices: Chorus) -> str:
    """What one more column takes. Raises TunedeckError if it does not fit."""
    if any(shares_worker(loaded, found) for loaded in voices.subjects):
        return "on the weights that are loaded, with its own adapter"
    needed = need([found], read_devices(slow=False, processes=False), conversations=1)
    require_room(needed)
    return f"a model of its own, {needed}"
