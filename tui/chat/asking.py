"""How the voices are asked: held-out prompts, the system prompt, sampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from core.chat.sampling import Sampling
from tui.chat.cast import CastPanel
from tui.messages import JobFailed, JobResult

if TYPE_CHECKING:
    from core.chat.held_prompts import HeldPrompt


class AskingPanel(CastPanel):
    """The keys that change what is asked, and how."""

    def action_pick(self) -> None:
        if self.refused("pick") or self.voices is None:
            return
        run = self.voices.subject.run
        self.picking = self.submit(
            "core.chat.held_prompts:held_prompts", folder=run, workspace=self.deck.workspace
        )

    def on_job_result(self, message: JobResult) -> None:
        if message.job == self.picking:
            from tui.chat.pick import PickPrompt

            self.picking = 0
            self.app.push_screen(PickPrompt(message.value), self._picked)

    def on_job_failed(self, message: JobFailed) -> None:
        if message.job == self.picking:
            self.picking = 0
            self.refuse(message.what)

    def _picked(self, chosen: HeldPrompt | None) -> None:
        if chosen is not None and not self.refused("ask"):
            self.talk.ask(chosen.prompt, chosen.expected)
            self.go_on()

    def action_system(self) -> None:
        def written(text: str | None) -> None:
            if text is not None:
                self.talk.set_system(text.strip(), on=True)
                self.draw()

        title = "system prompt, for what is asked from now on; empty for none"
        self.write(title, self.talk.dialogue.system, written, may_be_empty=True)

    def action_system_switch(self) -> None:
        if not self.refused("system_switch"):
            dialogue = self.talk.dialogue
            self.talk.set_system(dialogue.system, on=not dialogue.with_system)
            self.draw()

    def action_sampling(self) -> None:
        from tui.chat.settings import SamplingScreen

        own = self.voices.loaded.decoding if self.voices is not None and self.voices.loaded else None
        self.app.push_screen(SamplingScreen(self.sampling, own), self._sampled)

    def _sampled(self, sampling: object) -> None:

        if isinstance(sampling, Sampling):
            self.sampling = sampling
            self.draw()

    def write(
        self, title: str, text: str, taken: Callable[[str | None], None], *, may_be_empty: bool = False
    ) -> None:
        """Let a text be changed in a window of its own."""
        from tui.chat.write import WriteScreen

        self.app.push_screen(WriteScreen(title, text, may_be_empty=may_be_empty), taken)
