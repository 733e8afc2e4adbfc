"""What exactly was asked and how sure each token of the answer was, in the token view of the Data panel."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from core.chat.messages import Inspection, Proof, Started, TokenChance
from core.data.tokens import Cause, Tokens
from core.data.types import IGNORED
from tui.widgets.bars import Bar, Part
from tui.widgets.text import visible, wrap
from tui.widgets.text_view import TextView
from tui.widgets.token_layout import Piece, readable
from tui.widgets.token_view import TokenView

MOST_WARNING_LINES = 5
UNLIKELY = 0.05  # below it a token is a surprise
MARKS = {"": "", "likely": "▲", "unlikely": "‼"}


def surprise(token: TokenChance) -> str:
    """Style class of a token by rank and probability: "" for the likeliest, "likely" or "unlikely"."""
    if token.rank == 0:
        return ""
    return "likely" if token.probability >= UNLIKELY else "unlikely"


def tokens_of(found: Inspection) -> Tokens:
    """Prompt and answer as tokens; the answer's carry a label, and a mark before a surprise."""
    ids = np.array([id for id, _ in found.prompt] + [token.id for token in found.answer], dtype=np.int32)
    asked = len(found.prompt)
    answered = np.arange(len(ids)) >= asked
    pieces = [data for _, data in found.prompt]
    pieces += [MARKS[surprise(token)].encode() + token.data for token in found.answer]
    return Tokens(
        ids=ids,
        labels=np.where(answered, ids, IGNORED).astype(np.int32),
        starts=np.zeros(len(ids), dtype=np.int32),
        ends=np.zeros(len(ids), dtype=np.int32),
        piece=np.arange(len(ids), dtype=np.int32),
        cause=answered.astype(np.int32),
        pieces=tuple(pieces),
        causes=(Cause("", -1, "asked", ""), Cause("assistant", -1, "answered", "")),
    )


class AnswerTokens(TokenView):
    """The token view with the answer's tokens coloured by surprise."""

    HELP = """
    Grey: what was asked. The answer: plain is the likeliest token, ▲ another likely one, ‼ one below 5 %.
    ▏box▕: a special token. Left and right go token by token, t to the answer, i shows ids, o the answer alone.
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"answered", "likely", "unlikely"}
    DEFAULT_CSS = """
    AnswerTokens .answered { color: $foreground; text-style: bold; }
    AnswerTokens .likely { color: $text-warning; background: $warning-muted; text-style: bold; }
    AnswerTokens .unlikely { color: $text-error; background: $error-muted; text-style: bold underline; }
    """

    def __init__(self, found: Inspection) -> None:
        super().__init__()
        self.found = found

    def _names(self, piece: Piece) -> list[str]:
        answered = piece.token - len(self.found.prompt)
        names = ["masked"] if answered < 0 else ["answered", surprise(self.found.answer[answered])]
        if self.tokens[piece.token].id in self._special:
            names.append("special")
        if piece.token == self.cursor:
            names.append("cursor")
        return [name for name in names if name]


def _quoted(data: bytes) -> str:
    return repr(visible(readable(data)))


def _evidence(proof: Proof) -> str:
    """Who answered, as the model itself reports it."""
    state = (
        f"adapter {visible(proof.adapter)} {'on' if proof.active else 'off'}"
        if proof.adapter
        else "no adapter"
    )
    return f"{state} · digest of the first step's logits {proof.first_step}"


class InspectScreen(ModalScreen[None]):
    """Prompt tokens, then the answer's tokens with their probability; esc or q closes it."""

    DEFAULT_CSS = """
    InspectScreen { align: center middle; }
    InspectScreen Vertical { width: 96%; height: 92%; border: round $border; background: $surface; }
    InspectScreen TextView { display: none; }
    InspectScreen.text TextView { display: block; }
    InspectScreen.text TokenView { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "close", show=False),
        Binding("x", "text", "exact text", show=False),
    ]

    def __init__(
        self,
        who: str,
        found: Inspection,
        started: Started | None = None,
        *,
        has_template: bool = True,
        proof: Proof | None = None,
    ) -> None:
        """`started` holds the exact text and what to know of it; without a template nothing was compared."""
        super().__init__()
        self.has_template = has_template
        self.proof = proof
        self.who = who
        self.found = found
        self.started = started

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Bar(2 if self.proof else 1, id="about")
            yield Bar(len(self._said_of_prompt()), id="warnings")
            yield AnswerTokens(self.found)
            yield TextView()
            yield Bar(2, id="token")
            yield Bar(id="legend")

    def on_mount(self) -> None:
        prompt, answer = self.found.prompt, self.found.answer
        sure = sum(1 for token in answer if token.rank == 0)
        about = (
            f" {visible(self.who)}: {len(prompt)} prompt tokens, {len(answer)} answered, {sure} the likeliest"
        )
        self.query_one("#about", Bar).put(0, [Part(about, "name")])
        if self.proof:
            self.query_one("#about", Bar).put(1, [Part(f" {_evidence(self.proof)}", "muted")])
        for line, part in enumerate(self._said_of_prompt()):
            self.query_one("#warnings", Bar).put(line, [part])
        legend = " ▲ likely  ‼ below 5 %  i ids  x exact text  t answer  esc closes"
        self.query_one("#legend", Bar).put(0, [Part(legend, "muted")])
        text = self.started.prompt_text if self.started else ""
        self.query_one(TextView).show([(visible(line), "") for line in text.split("\n")])
        view = self.query_one(AnswerTokens)
        view.show(tokens_of(self.found), len(prompt) + len(answer), frozenset(self.found.special_ids))
        view.focus()

    def _said_of_prompt(self) -> list[Part]:
        """Whether the prompt is what the training saw, line by line; a warning names the difference."""
        if not self.has_template:
            return [Part(" plain text: there is no template to compare it with", "muted")]
        warnings = self.started.warnings if self.started else ()
        if not warnings:
            return [Part(" ✓ rendered for training, the conversation begins with this prompt", "good")]
        width = self.app.size.width * 96 // 100 - 6
        lines = [line for each in warnings for line in wrap(f"! {visible(each)}", width)]
        return [Part(f" {line}", "bad") for line in lines[:MOST_WARNING_LINES]]

    @on(TokenView.Moved)
    def _tell(self, message: TokenView.Moved) -> None:
        bar = self.query_one("#token", Bar)
        first, second = self._about(message.index) if message.index is not None else ("", "")
        bar.put(0, [Part(first)])
        bar.put(1, [Part(second, "muted")])

    def _about(self, index: int) -> tuple[str, str]:
        """The token under the cursor in two lines: what it is, and what else the model weighed."""
        answered = index - len(self.found.prompt)
        if answered < 0:
            id, data = self.found.prompt[index]
            return f" asked {index}: id {id} {_quoted(data)}", ""
        token = self.found.answer[answered]
        place = "the likeliest" if token.rank == 0 else f"{token.rank} were likelier"
        others = "  ".join(
            f"{_quoted(data)} {chance:.1%}" for id, data, chance in token.alternatives if id != token.id
        )
        what = f" answered {answered}: id {token.id} {_quoted(token.data)} {token.probability:.1%}, {place}"
        return what, f" instead: {others}"

    def action_text(self) -> None:
        self.toggle_class("text")
        self.query_one(TextView if self.has_class("text") else AnswerTokens).focus()
