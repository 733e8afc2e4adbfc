"""What can be done with the run under the cursor: open, resume, chat, note, again, queue, trash."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from textual.binding import Binding, BindingType

from core.errors import TunedeckError
from core.recipe import Recipe
from core.runs.folder import Run
from core.runs.out_of_memory import name_of
from core.runs.queue import move, take_out
from core.runs.shelf import annotate, bring_back, put_away
from core.runs.state import RunState
from tui.clipboard import copy
from tui.deck import Deck
from tui.messages import CheckRun, GoTo, OpenRun, ResumeRun
from tui.panel import Command, Panel
from tui.runs.again import AgainScreen
from tui.runs.note import Annotated, NoteScreen


class Acting(Panel):
    """A panel with one run under its cursor. Subclasses give `selected` and `read_again`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "chat", "chat"),
        Binding("u", "resume", "resume"),
        Binding("a", "again", "again with changes"),
        Binding("n", "note", "note and tags", show=False),
        Binding("y", "copy_path", "copy its path", show=False),
        Binding("D,delete", "remove", "remove", show=False),
        Binding("Z", "restore", "bring back", show=False),
        Binding("K,shift+up", "queue(-1)", "earlier in the queue", show=False),
        Binding("J,shift+down", "queue(1)", "later in the queue", show=False),
    ]

    def __init__(self, deck: Deck) -> None:
        super().__init__(deck)
        self._put_away: list[str] = []  # names of the folders in the trash, newest last

    @property
    def selected(self) -> RunState | None:
        raise NotImplementedError

    def read_again(self) -> None:
        raise NotImplementedError

    def why_not(self, action: str) -> str:
        state = self.selected
        if action == "restore":
            return "" if self._put_away else "nothing was removed in this session; tunedeck restore RUN"
        if action not in ("chat", "resume", "again", "note", "copy_path", "remove") and not _queues(action):
            return ""
        if state is None:
            return "there is no run here yet"
        if action == "resume":
            return _why_not_resumed(state)
        if action == "chat" and state.state != "done" and state.checkpoint_step is None:
            return "the run has saved nothing yet"
        if action == "remove" and not state.ended and not _is_queued(state):
            return f"the run is {state.state}; stop it first"
        if _queues(action) and not _is_queued(state):
            return "the run does not wait in the queue"
        return ""

    def action_chat(self) -> None:
        if not self.refused("chat") and self.selected is not None:
            self.post_message(GoTo("chat", OpenRun(self.selected.folder)))

    def action_resume(self) -> None:
        if not self.refused("resume") and self.selected is not None:
            self.post_message(GoTo("train", ResumeRun(self.selected.folder)))

    def action_again(self) -> None:
        if self.refused("again") or self.selected is None:
            return
        run = Run(self.selected.folder)
        try:
            screen = AgainScreen(run, run.recipe.read_text(encoding="utf-8"))
        except (TunedeckError, OSError) as error:
            self.refuse(str(error))
            return

        def decided(recipe: Recipe | None) -> None:
            if recipe is not None:
                self.post_message(GoTo("train", CheckRun(recipe, name_of(run))))

        self.app.push_screen(screen, decided)

    def action_note(self) -> None:
        if self.refused("note") or self.selected is None:
            return
        run = Run(self.selected.folder)

        def written(words: Annotated | None) -> None:
            if words is not None:
                self._do(lambda: annotate(run, note=words[0], tags=words[1]))

        self.app.push_screen(NoteScreen(self.selected), written)

    def action_copy_path(self) -> None:
        if not self.refused("copy_path") and self.selected is not None:
            path = str(self.selected.folder)
            self.say(f"{path}\n{copy(self.app, path)}")

    def action_remove(self) -> None:
        if self.refused("remove") or self.selected is None:
            return
        from tui.widgets.confirm import Confirm

        run, queued = Run(self.selected.folder), _is_queued(self.selected)
        where = "out of the queue" if queued else f"into {self.deck.workspace.trash.name}"
        question = f"Move {run.id} {where}? {'Its folder stays.' if queued else 'Z brings it back.'}"
        remove = (lambda: self._take_out(run)) if queued else (lambda: self._trash(run))
        self.app.push_screen(Confirm(question, "remove"), lambda yes: self._do(remove) if yes else None)

    def _take_out(self, run: Run) -> None:
        take_out(self.deck.workspace, run)

    def _trash(self, run: Run) -> None:
        self._put_away.append(put_away(self.deck.workspace, run).name)

    def action_restore(self) -> None:
        if not self.refused("restore"):
            self._do(lambda: bring_back(self.deck.workspace, self._put_away.pop()))

    def action_queue(self, places: int) -> None:
        if self.refused(f"queue({places})") or self.selected is None:
            return
        if move(self.deck.workspace, Run(self.selected.folder), places):
            self.read_again()
        else:
            self.refuse("it is the first already" if places < 0 else "it is the last already")

    def _do(self, change: Callable[[], object]) -> None:
        """Do it, say why if it cannot be done, and read the runs anew."""
        try:
            change()
        except (TunedeckError, OSError) as error:
            self.refuse(str(error))
        self.read_again()

    def commands(self) -> Iterable[Command]:
        for title, about, action, call in (
            ("runs: resume", "go on from the last checkpoint", "resume", self.action_resume),
            ("runs: chat", "with the run under the cursor", "chat", self.action_chat),
            ("runs: again with changes", "a new run like this one", "again", self.action_again),
            ("runs: note and tags", "your own words on it", "note", self.action_note),
            ("runs: copy path", "of the run's folder", "copy_path", self.action_copy_path),
            ("runs: remove", "into the trash, or out of the queue", "remove", self.action_remove),
            ("runs: bring back", "what was removed last", "restore", self.action_restore),
        ):
            if not self.why_not(action):
                yield title, about, call


def _queues(action: str) -> bool:
    return action.startswith("queue")


def _is_queued(state: RunState) -> bool:
    return state.phase == "queued" and not state.ended


def _why_not_resumed(state: RunState) -> str:
    if not state.ended:
        return "the run waits for its turn" if _is_queued(state) else "the run is at work"
    return "the run is done; a starts a new one like it" if state.state == "done" else ""
