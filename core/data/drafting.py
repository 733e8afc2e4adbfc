"""A conversation made ready for the tokenizer: its text, and which characters (or which prompt) decide the loss.

A draft is all that is known of a row before tokens exist. Show and whole-set preparation both start from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from core.data.fields import fields_of
from core.data.loss import Loss, loss_of
from core.data.render import Renderer, RenderError, limits, template_messages
from core.data.responses import response_ids, response_spans
from core.data.skeleton import Aligner, Alignment
from core.data.stops import Stops, find_stops
from core.data.templates import Template, choose_template
from core.data.tokenizer import Tokenizer
from core.data.turns import Spans, find_trained
from core.data.types import Conversation
from core.recipe import DataSection


@dataclass(slots=True)
class Draft:
    """One row before encoding.

    The loss falls on the characters in `trained`; None means every token. `prompt`, where there is one,
    narrows it to the tokens from the first that differs between prompt and text.
    """

    row: int
    loss: Loss
    text: str = ""
    plain: bool = False  # encoded by a plain call, which may add BOS and EOS; chat text never is
    trained: Spans | None = None
    prompt: str | None = None
    marked: Spans = ()  # what generation markers enclose
    alignment: Alignment | None = None
    source: str = "text"  # markers | alignment | prefix | text | tokens
    ids: tuple[int, ...] = ()  # of a row that came tokenised
    labels: tuple[int, ...] = ()
    eos_length: int = 0  # characters of the EOS that was appended, 0 where none was
    code: str = ""  # why the row cannot be trained, as a finding's code
    problem: str = ""  # the same in words


class Drafter:
    """Drafts the rows of one data section with one tokenizer. One thread at a time."""

    def __init__(self, section: DataSection, tokenizer: Tokenizer, template: Template | None = None) -> None:
        self.section = section
        self.tokenizer = tokenizer
        self.template = template or choose_template(section.template, tokenizer)
        self.renderer = Renderer(self.template, tokenizer) if self.template else None
        with limits():
            found = find_stops(tokenizer, self.renderer) if self.renderer else None
        self.stops = found or Stops(tokenizer.stop_texts)
        self._aligner = Aligner(self.renderer, self.stops) if self.renderer else None
        self.response_ids = response_ids(section)
        self._losses: dict[tuple[str, int | None], Loss] = {}

    def draft(self, conversation: Conversation, *, align: bool = False) -> Draft:
        """The row's draft. Never raises for what a row holds: `problem` says why it cannot be trained.

        `align` asks for the alignment even where the loss does not need it (a screen shows the parts).
        """
        loss = self._loss(conversation)
        if loss.problem:
            return Draft(conversation.row, loss, code=loss.code, problem=loss.problem)
        if conversation.kind == "tokens":
            return _tokens(conversation, loss)
        if conversation.kind in ("text", "text-completion"):
            return _encodable(self._text(conversation, loss))
        try:
            return _encodable(self._chat(conversation, loss, align))
        except RenderError as error:
            return Draft(conversation.row, loss, code="template-refuses", problem=str(error))

    def _loss(self, conversation: Conversation) -> Loss:
        if conversation.kind == "messages" and self.section.loss_on == "completion":
            return loss_of(conversation, self.section)
        key = (conversation.kind, conversation.completion_from)
        if key not in self._losses:
            self._losses[key] = loss_of(conversation, self.section)
        return self._losses[key]

    def _text(self, conversation: Conversation, loss: Loss) -> Draft:
        text, completion = conversation.text, conversation.completion
        ending = completion if conversation.kind == "text-completion" else text
        eos = self.tokenizer.eos_text
        added = bool(eos) and not ending.endswith(eos)
        whole = text + completion + (eos if added else "")
        prompt = text if loss.mode == "completion" else None
        trained = None
        if loss.mode == "response-template" and self.response_ids is None:
            trained = response_spans(whole, self.section)
        return Draft(
            conversation.row,
            loss,
            whole,
            plain=True,
            trained=trained,
            prompt=prompt,
            eos_length=len(eos) if added else 0,
        )

    def _chat(self, conversation: Conversation, loss: Loss, align: bool) -> Draft:
        if self.renderer is None or self.template is None or self._aligner is None:
            return Draft(conversation.row, loss, code="no-template", problem="the model has no chat template")
        messages = template_messages(conversation)
        tools = list(conversation.tools) or None
        kwargs = conversation.template_kwargs
        marked: Spans = ()
        markers = self.template.markers and loss.needs_spans
        if markers:
            text, marked = self.renderer.render_marked(messages, tools, kwargs)
        else:
            text = self.renderer.render(messages, tools, kwargs)
        draft = Draft(
            conversation.row, loss, text, marked=marked, source="markers" if markers else "alignment"
        )
        if align or (loss.needs_spans and not (markers and loss.takes_every_turn(conversation))):
            fields = fields_of(messages, tools, kwargs)
            draft.alignment = self._aligner.align(text, fields.texts, fields.shape, messages, tools, kwargs)
        if loss.needs_spans:
            find_trained(draft, conversation, messages, self.renderer, self.stops)
        elif loss.mode == "response-template" and self.response_ids is None:
            draft.trained = response_spans(text, self.section)
        if loss.completion_from is not None and loss.mode in ("completion", "assistant"):
            asked = messages[: loss.completion_from]
            draft.prompt = self.renderer.render(asked, tools, kwargs, prompt=True)
        return draft

    def state(self) -> dict[str, Any]:
        """What decides the outcome besides the rows, for the cache key."""
        template = self.template
        return {
            "tokenizer": self.tokenizer.fingerprint,
            "template": [template.text, template.tool_text] if template else None,
        }


def _encodable(draft: Draft) -> Draft:
    """A lone surrogate is no character; no tokenizer can take it."""
    if draft.text.isascii():
        return draft
    try:
        draft.text.encode()
    except UnicodeEncodeError as error:
        problem = f"the text holds a lone surrogate (character {error.start}), half of a character"
        return Draft(draft.row, draft.loss, code="lone-surrogate", problem=problem)
    return draft


def _tokens(conversation: Conversation, loss: Loss) -> Draft:
    return Draft(
        conversation.row, loss, ids=conversation.input_ids, labels=conversation.labels, source="tokens"
    )
