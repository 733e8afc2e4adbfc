"""Below the curves: the log, the notes, the sample answers and, after a lack of memory, the levers.

One of them is in view; on a screen of 200 columns notes and samples stand beside the log.
"""

from __future__ import annotations

from collections.abc import Sequence

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Horizontal
from textual.message import Message
from textual.widget import Widget

from core.memory.fit import Lever
from core.runs.record import Record
from core.runs.state import RunState
from tui.train import shown
from tui.train.levers import Levers
from tui.widgets.bars import Bar, Part
from tui.widgets.log_view import LogView
from tui.widgets.text_view import TextView

LOG, NOTES, SAMPLES, LEVERS = "log", "notes", "samples", "levers"


class Tabs(Bar):
    """The names of the views; a click brings one."""

    class Wanted(Message):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def action_bring(self, name: str) -> None:
        self.post_message(self.Wanted(name))


class Lower(Container):
    """`tell` what is new of the run; `next_view` and `bring` change what is in view."""

    DEFAULT_CSS = """
    Lower { layout: vertical; height: 1fr; }
    Lower #line { height: 1; }
    Lower #tabs { width: 36; }
    Lower #note { width: 1fr; }
    Lower #views { height: 1fr; }
    Lower #views > * { display: none; }
    Lower #views > .front { display: block; }
    Lower #notes, Lower #samples { padding: 0 1; }
    .-widest Lower.-together #views > #log { display: block; }
    .-widest Lower.-together #views > TextView { display: block; border-left: solid $border; }
    """
    SCOPED_CSS = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, classes="-together")
        self.front = LOG
        self._tabs, self._levers = Tabs(id="tabs"), Levers(id=LEVERS)
        self._views: dict[str, Widget] = {
            LOG: LogView(id=LOG),
            NOTES: TextView(id=NOTES),
            SAMPLES: TextView(id=SAMPLES),
            LEVERS: self._levers,
        }
        self._views[LOG].add_class("front")
        self.steps_between_samples = 0
        self._told: dict[str, object] = {}  # what each text was made of, to leave it alone while that stays
        self._counts = (0, 0)  # notes and samples

    def compose(self) -> ComposeResult:
        with Horizontal(id="line"):
            yield self._tabs
            yield Bar(id="note")
        with Horizontal(id="views"):
            yield from self._views.values()

    def on_mount(self) -> None:
        self._show_tabs()

    @property
    def in_front(self) -> Widget:
        return self._views[self.front]

    @property
    def offered(self) -> bool:
        return bool(self._levers.levers)

    def start(self, steps_between_samples: int) -> None:
        """Another run."""
        self.steps_between_samples = steps_between_samples
        self._told = {}
        self._levers.offer(())
        self.bring(LOG)

    def tell(self, state: RunState, record: Record) -> None:
        """Show what is new; texts that have not changed are left alone."""
        self.query_one("#note", Bar).put(0, [shown.newest_note(state, record)])
        self._show(NOTES, (len(record.notes), state.state, state.what), shown.note_lines(state, record))
        samples = (len(record.samples), record.samples[-1].get("time") if record.samples else None)
        self._show(SAMPLES, samples, shown.sample_lines(record, self.steps_between_samples))
        self._counts = sum(bool(shown.note(one)[0]) for one in record.notes), len(record.samples)
        self._show_tabs()

    def offer(self, levers: Sequence[Lever]) -> None:
        self._levers.offer(levers)
        if levers:
            self.bring(LEVERS)

    def next_view(self) -> None:
        names = self._names()
        self.bring(names[(names.index(self.front) + 1) % len(names)])

    def bring(self, name: str) -> None:
        """Bring one view to the front and focus it."""
        self.front = name
        moves_focus = self.has_focus_within
        for known, view in self._views.items():
            view.set_class(known == name, "front")
        self.set_class(name != LEVERS, "-together")
        self._show_tabs()
        if moves_focus:
            self.in_front.focus()

    @on(Tabs.Wanted)
    def _bring(self, message: Tabs.Wanted) -> None:
        message.stop()
        self.bring(message.name)

    def _names(self) -> list[str]:
        return [LOG, NOTES, SAMPLES, *([LEVERS] if self.offered else [])]

    def _show(self, name: str, said: object, lines: Sequence[shown.Line]) -> None:
        if self._told.get(name) != said:
            self._told[name] = said
            self.query_one(f"#{name}", TextView).show(lines, keep_place=True)

    def _show_tabs(self) -> None:
        notes, samples = self._counts
        words = {LOG: "log", NOTES: f"notes {notes}", SAMPLES: f"samples {samples}", LEVERS: LEVERS}
        self._tabs.put(
            0,
            [
                Part(f" {words[name]} ", "current" if name == self.front else "", f"bring('{name}')")
                for name in self._names()
            ],
        )
