"""The Chat panel: one prompt to every voice, side by side from 120 columns on, as tabs below."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from core.chat.messages import Failure, Inspection
from core.errors import TunedeckError
from tui.chat.asking import AskingPanel
from tui.chat.keys import why_not
from tui.chat.prompt import Prompt
from tui.chat.stage import Stage
from tui.chat.transcript import Transcript
from tui.clipboard import copy
from tui.panel import Command
from tui.widgets.bars import Bar
from tui.widgets.text import visible

SAVED_NAME = "conversations.jsonl"


class ChatPanel(AskingPanel):
    """What the keys do with the conversation; who answers is the business of `CastPanel`, how they are asked that of `AskingPanel`."""

    HELP = """
    One prompt goes to every voice: the base model, the tuned one, and runs that `a` adds. With adapters all are
    the same weights; the line above each column says what the model itself reports.

    Esc stops an answer; a second esc leaves the field, and these keys work on the turn marked ▸:
    `[` `]` other turn · `r` again · `e` edit the prompt · left, right other branch · `c` correct the answer ·
    `i` inspect · `y` copy · `s` system prompt · `x` with and without it · `t` sampling · `m` Markdown ·
    `p` held-out prompts · `w` save · `o` load · `a` columns · `u` newer checkpoint · `ctrl+n` new.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "stop_or_leave", "stop or leave field", show=False),
        Binding("tab", "other_voice", "other voice"),
        Binding("enter", "write", "write", show=False),
        Binding("p", "pick", "held-out prompts"),
        Binding("i", "inspect", "inspect"),
        Binding("r", "retry", "again"),
        Binding("e", "edit", "edit"),
        Binding("a", "columns", "columns"),
        Binding("c", "correct", "correct", show=False),
        Binding("left,h", "branch(-1)", "branch before", show=False),
        Binding("right,l", "branch(1)", "next branch", show=False),
        Binding("left_square_bracket", "point(-1)", "turn before", show=False),
        Binding("right_square_bracket", "point(1)", "next turn", show=False),
        Binding("s", "system", "system prompt", show=False),
        Binding("x", "system_switch", "with and without", show=False),
        Binding("t", "sampling", "sampling", show=False),
        Binding("m", "markdown", "Markdown", show=False),
        Binding("w", "save", "save", show=False),
        Binding("o", "load", "load", show=False),
        Binding("u", "refresh", "newer checkpoint", show=False),
        Binding("y", "copy", "copy answer", show=False),
        Binding("ctrl+n", "new", "new conversation", show=False),
    ]

    def compose(self) -> ComposeResult:
        yield Bar(id="status")
        yield Stage()
        yield Prompt(id="prompt")

    def why_not(self, action: str) -> str:
        if self.voices is None and self.problem:
            return self.problem
        return why_not(
            action, self.talk, self.voices, self.stage.front, together=self.stage.side_by_side
        )  # fmt: skip

    # Asking

    @on(Prompt.Asked)
    def _asked(self, message: Prompt.Asked) -> None:
        if self.refused("ask"):
            return
        self.query_one("#prompt", Prompt).clear()
        self.talk.ask(message.text)
        self.go_on()

    def action_stop_or_leave(self) -> None:
        if self.voices is not None and self.talk.is_open(self.voices):
            self.talk.held = True
            self.voices.cancel()
            self.put_back(self.talk.take_back())
            self.draw()
        elif self.query_one("#prompt", Prompt).has_focus and self.stage.names:
            self.stage.focus_front()
        else:
            self.query_one("#prompt", Prompt).focus()

    def action_write(self) -> None:
        self.focus_main()

    def put_back(self, text: str) -> None:
        """A prompt that was not asked stands where it was written again."""
        if text:
            field = self.query_one("#prompt", Prompt)
            field.text = f"{text}\n{field.text}" if field.text.strip() else text
            field.move_cursor(field.document.end)

    # Turns and branches

    @on(Transcript.Pointed)
    def _pointed(self, message: Transcript.Pointed) -> None:
        self.talk.point_at(message.turn)
        self.draw()

    def action_point(self, step: int) -> None:
        if self.refused("point"):
            return
        self.talk.point(step)
        self.draw()
        if self.talk.pointed is not None:
            self.stage.bring_into_view(self.talk.pointed.id)

    def action_branch(self, step: int) -> None:
        if self.refused("branch"):
            return
        if self.talk.pointed is None:
            self.talk.come_back()
        else:
            self.talk.other_branch(self.talk.pointed, step)
        self.go_on()

    def action_retry(self) -> None:
        turn = self.talk.pointed
        if self.refused("retry") or turn is None or self.voices is None:
            return
        if self.talk.failed(turn, self.voices):
            self.talk.again()
        else:
            self.talk.branch_off(turn, turn.prompt)
        self.go_on()

    def action_edit(self) -> None:
        turn = self.talk.pointed
        if self.refused("edit") or turn is None:
            return

        def edited(text: str | None) -> None:
            if text is not None:
                self.talk.branch_off(turn, text)
                self.go_on()

        self.write("edit the prompt: a branch is asked, the first stays", turn.prompt, edited)

    def action_correct(self) -> None:
        turn, who = self.talk.pointed, self.stage.front
        if self.refused("correct") or turn is None:
            return

        def corrected(text: str | None) -> None:
            if text is not None:
                self.talk.correct(turn, who, text)
                self.draw()

        title = f"correct the answer of {visible(who)}; w then saves it as a training row"
        self.write(title, turn.answers[who], corrected)

    # A look inside

    def action_inspect(self) -> None:
        turn = self.talk.pointed
        if self.refused("inspect") or self.voices is None or turn is None:
            return
        said = self.talk.at(turn.id, self.stage.front)
        assert said is not None and said.answer is not None, "refused above"
        self.inspecting = self.voices.inspect(self.stage.front, said.answer), said
        self.wake()

    def inspected(self, message: Inspection | Failure) -> None:
        assert self.inspecting is not None
        _, said = self.inspecting
        self.inspecting = None
        if isinstance(message, Failure):
            self.refuse(message.what)
            return
        from tui.chat.inspect import InspectScreen

        voices = self.voices
        loaded = voices.loaded_for(said.who) if voices is not None and said.who in voices.names else None
        plain = loaded is not None and not loaded.has_template
        evidence = said.answer.proof if said.answer is not None else None
        self.app.push_screen(
            InspectScreen(said.who, message, said.started, has_template=not plain, proof=evidence)
        )

    # How it is shown

    def action_markdown(self) -> None:
        self.stage.markdown = not self.stage.markdown
        self.say(f"Markdown is {'drawn' if self.stage.markdown else 'shown as it was written'}")
        self.draw()

    def action_other_voice(self) -> None:
        if self.why_not("other_voice"):
            self.screen.focus_next()
        else:
            self.stage.turn_to_next()

    # Files and the clipboard

    def action_save(self) -> None:
        if self.refused("save"):
            return
        from tui.chat.files import SaveScreen

        who = self.stage.front
        known = self.talk.row(who)
        self.app.push_screen(
            SaveScreen(who, str(known.path) if known else SAVED_NAME), lambda file: self._save(who, file)
        )

    def _save(self, who: str, file: str | None) -> None:
        if file is None:
            return
        path = self.deck.workspace.root / Path(file).expanduser()
        try:
            line, replaced = self.talk.save(path, who)
        except TunedeckError as error:
            self.refuse(str(error))
        else:
            self.say(
                f"the conversation with {who} is line {line} of {path.name}{', as it is now' * replaced}"
            )

    def action_load(self) -> None:
        if self.refused("load"):
            return
        from tui.chat.files import LoadScreen

        self.app.push_screen(LoadScreen(self.deck.workspace.root, SAVED_NAME), self._take_up)

    def _take_up(self, chosen: tuple[Path, int] | None) -> None:
        if chosen is None or self.voices is None:
            return
        try:
            self.talk.take_up(*chosen, self.voices.names)
        except TunedeckError as error:
            self.refuse(str(error))
        else:
            self.go_on()

    def action_copy(self) -> None:
        turn = self.talk.pointed
        if not self.refused("copy") and turn is not None:
            self.say(copy(self.app, turn.answers[self.stage.front]))

    def action_new(self) -> None:
        if not self.refused("new"):
            self.talk.begin_anew()
            self.draw()

    def focus_main(self) -> None:
        self.query_one("#prompt", Prompt).focus()

    def commands(self) -> Iterable[Command]:
        from tui.chat.palette import commands

        return commands(self)
