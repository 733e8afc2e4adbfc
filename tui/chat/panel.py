"""The Chat panel: one prompt to base and tuned, side by side from 120 columns on, as tabs below."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.timer import Timer

from core.chat.chorus import Chorus
from core.chat.conversation import save_conversation
from core.chat.held_prompts import HeldPrompt
from core.chat.messages import TUNED, Failure, Inspection, Loaded, Reply
from core.chat.sampling import Sampling
from core.chat.subject import Subject, of_run, subject
from core.errors import TunedeckError
from core.runs.find import find_runs
from core.runs.folder import Run
from tui.chat.prompt import Prompt
from tui.chat.session import Said, Session, Turn
from tui.chat.transcript import Transcript
from tui.clipboard import copy
from tui.deck import Deck
from tui.messages import JobFailed, JobResult, OpenRun
from tui.panel import Command, Panel
from tui.widgets.bars import Bar, Part
from tui.widgets.text import visible

# Tokens come faster than a screen needs: what has arrived is shown eight times a second.
FLUSH_SECONDS = 0.125
SAVED_NAME = "conversations.jsonl"


class ChatPanel(Panel):
    """Status, columns, prompt."""

    HELP = """
    One prompt goes to the base model and to the tuned one. With an adapter both are the same weights, with
    the adapter off and on; the line above each column says what the model itself reports.

    Esc stops an answer; a second esc leaves the field, and the keys below work.
    """
    SCOPED_CSS = False
    DEFAULT_CSS = """
    ChatPanel #voices { height: 1fr; }
    ChatPanel Transcript { display: none; }
    ChatPanel Transcript.front { display: block; }
    .-wide ChatPanel Transcript, .-widest ChatPanel Transcript { display: block; border-right: solid $border; }
    .-wide ChatPanel #tabs, .-widest ChatPanel #tabs { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop_or_leave", "stop or leave field", show=False),
        Binding("tab", "other_voice", "other voice"),
        Binding("p", "pick", "held-out prompts"),
        Binding("i", "inspect", "inspect"),
        Binding("r", "retry", "retry"),
        Binding("e", "edit", "edit last"),
        Binding("w", "save", "save", show=False),
        Binding("y", "copy", "copy answer", show=False),
        Binding("ctrl+n", "new", "new conversation", show=False),
    ]

    def __init__(self, deck: Deck) -> None:
        super().__init__(deck)
        self.session = Session()
        self.voices: Chorus | None = None
        self.front = TUNED
        self.sampling = Sampling()
        self.problem = ""
        self._waiting: Turn | None = None  # asked while the model loads
        self._timer: Timer | None = None
        self._picking = 0  # number of the job that reads the held-out prompts
        self._inspecting = 0  # number of the open question about an answer

    def compose(self) -> ComposeResult:
        yield Bar(id="status")
        yield Bar(id="tabs")
        yield Horizontal(id="voices")
        yield Prompt()

    def on_mount(self) -> None:
        self._timer = self.set_interval(FLUSH_SECONDS, self._flush, pause=True)

    def on_unmount(self) -> None:
        if self.voices is not None:
            self.voices.close()

    # Whom one talks to

    def shown(self) -> None:
        if self.voices is None and not self.problem:
            self.call_later(self._choose)

    async def on_open_run(self, message: OpenRun) -> None:
        if self.voices is None or self.voices.subject.run != message.folder:
            await self._talk_to_run(Run(message.folder))

    async def _choose(self) -> None:
        """The newest run that has something to talk with, else the recipe's model."""
        if self.voices is not None:
            return
        found = find_runs(self.deck.workspace)
        run = next((state for state in found if state.state == "done" or state.checkpoint_step), None)
        if run is not None:
            await self._talk_to_run(Run(run.folder))
            return
        try:
            await self._talk_to(subject(self.deck.recipe.model.source, self.deck.workspace))
        except TunedeckError as error:
            self._say_problem(str(error))

    async def _talk_to_run(self, run: Run) -> None:
        try:
            await self._talk_to(of_run(run, self.deck.workspace))
        except TunedeckError as error:
            self._say_problem(str(error))

    async def _talk_to(self, chosen: Subject) -> None:
        """Change to this model. The worker starts at once, so that the first answer does not wait for it."""
        if self.voices is not None:
            self.voices.close()
        self.voices = Chorus(chosen)
        self.session, self.problem, self._waiting = Session(chosen.system), "", None
        self.front = self.voices.names[-1]
        columns = self.query_one("#voices", Horizontal)
        await columns.remove_children()
        await columns.mount_all(Transcript(who) for who in self.voices.names)
        self.voices.start()
        self._wake()
        self._show()

    # Asking

    @on(Prompt.Asked)
    def _ask_all(self, message: Prompt.Asked) -> None:
        if self.refused("ask"):
            return
        self.session.turns.append(Turn(message.text))
        self.query_one(Prompt).clear()
        self._ask(self.session.turns[-1])

    def _ask(self, turn: Turn) -> None:
        assert self.voices is not None
        self.voices.start()
        if self.voices.loaded is None:
            self._waiting = turn
        else:
            for who in self.voices.names:
                history = self.session.history(who, turn)
                turn.said[who] = Said(who, self.voices.ask(who, history, self.sampling))
        for column in self.query(Transcript):
            column.following = True
        self._wake()
        self._show()

    def _wake(self) -> None:
        if self._timer is not None:
            self._timer.resume()

    def _flush(self) -> None:
        """Show what has arrived since the last time."""
        if self.voices is None:
            return
        messages = self.voices.poll()
        for message in messages:
            self._take(message)
        if self._waiting is not None and self.voices.loaded is not None:
            turn, self._waiting = self._waiting, None
            self._ask(turn)
        if messages:
            self._show()
        if not self.voices.busy and self._waiting is None and self._timer is not None:
            self._timer.pause()

    def _take(self, message: Reply) -> None:
        if isinstance(message, Loaded):
            self.problem = ""
        elif (
            self._inspecting
            and isinstance(message, (Inspection, Failure))
            and message.number == self._inspecting
        ):
            self._inspected(message)
        elif self.session.take(message) is None and isinstance(message, Failure):
            self._say_problem(message.what)
            if self._waiting is not None:
                # Not asked yet: the prompt goes back where it was written.
                self.session.turns.remove(self._waiting)
                self._put_back(self._waiting.prompt)
                self._waiting = None

    # Held-out prompts and a look inside

    def action_pick(self) -> None:
        if self.refused("pick") or self.voices is None:
            return
        run = self.voices.subject.run
        self._picking = self.submit(
            "core.chat.held_prompts:held_prompts", folder=run, workspace=self.deck.workspace
        )

    def on_job_result(self, message: JobResult) -> None:
        if message.job == self._picking:
            from tui.chat.pick import PickPrompt

            self._picking = 0
            self.app.push_screen(PickPrompt(message.value), self._picked)

    def on_job_failed(self, message: JobFailed) -> None:
        if message.job == self._picking:
            self._picking = 0
            self.refuse(message.what)

    def _picked(self, chosen: HeldPrompt | None) -> None:
        if chosen is not None and not self.refused("ask"):
            self.session.turns.append(Turn(chosen.prompt, chosen.expected))
            self._ask(self.session.turns[-1])

    def action_inspect(self) -> None:
        if self.refused("inspect") or self.voices is None:
            return
        answer = self.session.turns[-1].said[self.front].answer
        assert answer is not None, "refused above"
        self._inspecting = self.voices.inspect(self.front, answer)
        self._wake()

    def _inspected(self, message: Inspection | Failure) -> None:
        self._inspecting = 0
        if isinstance(message, Failure):
            self.refuse(message.what)
            return
        from tui.chat.inspect import InspectScreen

        self.app.push_screen(InspectScreen(self.front, message))

    def _put_back(self, text: str) -> None:
        field = self.query_one(Prompt)
        field.text = f"{text}\n{field.text}" if field.text.strip() else text
        field.move_cursor(field.document.end)

    # Keys

    def why_not(self, action: str) -> str:
        if self.voices is None:
            return self.problem or "no model is chosen yet"
        if action in ("ask", "retry", "edit", "pick", "inspect") and not self._idle:
            return "an answer is on its way; esc stops it"
        if action == "pick" and self.voices.subject.run is None:
            return "only a run has held-out prompts; this is a model"
        if action in ("retry", "edit", "save", "new", "inspect", "copy") and not self.session.turns:
            return "nothing has been asked yet"
        if action in ("inspect", "copy"):
            said = self.session.turns[-1].said.get(self.front)
            return "" if said is not None and said.answer is not None else f"{self.front} has not answered"
        if action == "other_voice" and (
            len(self.voices.names) < 2 or self.screen.has_class("-wide") or self.screen.has_class("-widest")
        ):
            return "all voices are in view"
        return ""

    @property
    def _idle(self) -> bool:
        turns = self.session.turns
        return self._waiting is None and (not turns or all(said.ended for said in turns[-1].said.values()))

    def action_stop_or_leave(self) -> None:
        if self.voices is not None and not self._idle:
            self.voices.cancel()
            if self._waiting is not None:
                self.session.turns.remove(self._waiting)
                self._put_back(self._waiting.prompt)
                self._waiting = None
                self._show()
            return
        if self.query_one(Prompt).has_focus and self.query(Transcript):
            self.query_one(f"#voice-{self.front}").focus()
        else:
            self.query_one(Prompt).focus()

    def action_other_voice(self) -> None:
        if self.voices is None or self.why_not("other_voice"):
            self.screen.focus_next()
            return
        names = self.voices.names
        typing = self.query_one(Prompt).has_focus
        self.front = names[(names.index(self.front) + 1) % len(names)]
        self._show()
        if not typing:
            self.query_one(f"#voice-{self.front}").focus()

    def action_retry(self) -> None:
        if self.refused("retry"):
            return
        turn = self.session.turns[-1]
        turn.said.clear()
        self._ask(turn)

    def action_edit(self) -> None:
        if self.refused("edit"):
            return
        self._put_back(self.session.turns.pop().prompt)
        self.query_one(Prompt).focus()
        self._show()

    def action_save(self) -> None:
        if self.refused("save"):
            return
        path = self.deck.workspace.root / SAVED_NAME
        try:
            save_conversation(path, self.session.conversation(self.front))
        except TunedeckError as error:
            self.refuse(str(error))
        else:
            self.say(f"the conversation with {self.front} is a row of {path.name} now")

    def action_copy(self) -> None:
        if self.refused("copy"):
            return
        self.say(copy(self.app, self.session.turns[-1].said[self.front].text))

    def action_new(self) -> None:
        if self.refused("new"):
            return
        if self.voices is not None:
            self.voices.cancel()
        self.session = Session(self.session.system)
        self._show()

    def focus_main(self) -> None:
        self.query_one(Prompt).focus()

    def commands(self) -> Iterable[Command]:
        for title, about, action, call in (
            (
                "chat: held-out prompts",
                "choose one; its own answer is shown beside",
                "pick",
                self.action_pick,
            ),
            ("chat: inspect", "prompt ids and how sure each token was", "inspect", self.action_inspect),
            ("chat: copy", "the newest answer", "copy", self.action_copy),
            ("chat: retry", "ask the last prompt again", "retry", self.action_retry),
            ("chat: edit", "take the last prompt back into the field", "edit", self.action_edit),
            ("chat: save", f"as a row of {SAVED_NAME}", "save", self.action_save),
            ("chat: new", "forget this conversation", "new", self.action_new),
        ):
            if not self.why_not(action):
                yield title, about, call

    # Drawing

    def _say_problem(self, what: str) -> None:
        self.problem = what
        self._show()

    def _show(self) -> None:
        with self.app.batch_update():
            self.query_one("#status", Bar).put(0, self._status())
            self.query_one("#tabs", Bar).put(0, self._tabs())
            for column in self.query(Transcript):
                column.set_class(column.who == self.front, "front")
                column.show(self.session)
        self.refresh_bindings()

    def _status(self) -> list[Part]:
        if self.problem:
            return [Part(f" ✗ {visible(self.problem)}", "bad")]
        if self.voices is None:
            return [Part(" choosing a model", "muted")]
        label = Part(f" {visible(self.voices.subject.label)} ", "name")
        loaded = self.voices.loaded
        if loaded is None:
            return [label, Part(" ◌ loading", "muted")]
        notes = [Part(f" ! {visible(note)}", "key") for note in loaded.notes]
        return [label, Part(f" {loaded.device} {loaded.dtype} · {loaded.decoding}", "muted"), *notes]

    def _tabs(self) -> list[Part]:
        names = self.voices.names if self.voices is not None else []
        return [Part(f" {name} ", "current" if name == self.front else "") for name in names]
