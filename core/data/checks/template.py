"""What the template does to a row's text: what it drops, ignores, adds, and whether prompts stay prefixes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from core.data.checks.facts import ModelFacts, Note, RowFacts, shown
from core.data.fields import Field, fields_of
from core.data.formats.messages import ROLES
from core.data.render import RenderError, template_messages
from core.data.types import Conversation, Span

_EMPTY_BEFORE_ANOTHER = re.compile(r"<think>\s*</think>\s*<think>")
_DROPPED = {"tool call": "tool-call-dropped", "tool result": "tool-result-dropped"}


def template_notes(facts: RowFacts, model: ModelFacts) -> Iterator[Note]:
    """Notes of a conversation against the template it was rendered with."""
    if not facts.conversation.messages:
        return
    yield from _roles(facts)
    yield from _dropped(facts)
    yield from _tools(facts, model)
    yield from _prefixes(facts, model)
    yield from _own_system(facts)
    yield from _think_tags(facts)


def _roles(facts: RowFacts) -> Iterator[Note]:
    for message in facts.conversation.messages:
        if message.role not in ROLES:
            printed = str(message.content).strip() in facts.rendering.text
            yield Note("odd-role" if printed else "unknown-role", facts.row, shown(message.role))


def _dropped(facts: RowFacts) -> Iterator[Note]:
    """Fields whose sentinel the template did not print. A thought of an earlier turn is dropped on purpose."""
    alignment = facts.draft.alignment
    if alignment is None or not alignment.skeleton.missing:
        return
    fields = alignment.skeleton.fields
    last = max((i for i, m in enumerate(facts.conversation.messages) if m.role == "assistant"), default=-1)
    printed_calls = any(
        fields[piece].part == "tool call" for piece in alignment.skeleton.pieces if isinstance(piece, int)
    )
    stripped = 0
    for number in alignment.skeleton.missing:
        field = fields[number]
        if field.role not in ROLES or (field.part == "tool call" and printed_calls):
            continue
        if field.part == "thinking" and field.message != last:
            stripped += facts.wants(field.message)
            continue
        yield Note(_code_of(field), facts.row, f"{field.part} of a {field.role} message")
    if stripped:
        yield Note("thinking-stripped", facts.row, amount=stripped)


def _code_of(field: Field) -> str:
    if field.part == "thinking":
        return "thinking-dropped"
    if field.role in ("system", "developer"):
        return "system-dropped"
    return _DROPPED.get(field.part, "text-dropped")


def _tools(facts: RowFacts, model: ModelFacts) -> Iterator[Note]:
    conversation, renderer = facts.conversation, model.drafter.renderer
    if not conversation.tools or renderer is None:
        return
    try:
        without = renderer.render(template_messages(conversation), None, conversation.template_kwargs)
    except RenderError:
        return
    if without == facts.draft.text:
        yield Note("tools-ignored", facts.row)


def _prefixes(facts: RowFacts, model: ModelFacts) -> Iterator[Note]:
    """Whether the prompt of every trained turn, as chat renders it, is how the training text begins."""
    if facts.draft.prompt is not None:
        if not facts.draft.text.startswith(facts.draft.prompt):
            yield Note("prompt-mismatch", facts.row, _difference(facts.draft.text, facts.draft.prompt))
        return
    alignment = facts.draft.alignment
    if alignment is None or not facts.draft.loss.needs_spans:
        return
    for turn in alignment.skeleton.turns:
        if turn.role == "assistant" and not turn.prompt_is_prefix and facts.wants(turn.message):
            yield Note("prompt-mismatch", facts.row, _first_difference(facts, model, turn.message))
            return


def _first_difference(facts: RowFacts, model: ModelFacts, message: int) -> str:
    conversation, renderer = facts.conversation, model.drafter.renderer
    if renderer is None:
        return ""
    messages = template_messages(conversation)[:message]
    tools = list(conversation.tools) or None
    try:
        prompt = renderer.render(messages, tools, conversation.template_kwargs, prompt=True)
    except RenderError as error:
        return f"the template refuses the prompt alone: {shown(error.reason)}"
    return _difference(facts.draft.text, prompt)


def _difference(text: str, prompt: str) -> str:
    """Where two texts part, in words."""
    shared = next(
        (i for i, (a, b) in enumerate(zip(text, prompt, strict=False)) if a != b), min(len(text), len(prompt))
    )
    return f'training has "{shown(text[shared : shared + 30])}" where the prompt has "{shown(prompt[shared : shared + 30])}"'


def _own_system(facts: RowFacts) -> Iterator[Note]:
    """A system text the data does not hold, printed before the first message."""
    if facts.draft.alignment is None or any(m.role == "system" for m in facts.conversation.messages):
        return
    opening: list[Span] = []
    for span in facts.rendering.spans:
        if span.message >= 0:
            break
        opening.append(span)
    text = "".join(facts.rendering.text[span.start : span.end] for span in opening if span.part == "scaffold")
    if sum(character.isalpha() for character in text) > 20 and not facts.conversation.tools:
        yield Note("default-system", facts.row, f'"{shown(text, 60)}"')


def _think_tags(facts: RowFacts) -> Iterator[Note]:
    """In one answer as many blocks are opened as closed, and no empty one stands before a thought."""
    if "think>" not in facts.rendering.text:
        return
    answers: dict[int, str] = {}
    for span in facts.rendering.spans:
        if span.role == "assistant":
            text = facts.rendering.text[span.start : span.end]
            answers[span.message] = answers.get(span.message, "") + text
    for text in answers.values():
        opened, closed = text.count("<think>"), text.count("</think>")
        if opened != closed:
            yield Note("think-tags", facts.row, f"{opened} opened, {closed} closed")
            return
        if _EMPTY_BEFORE_ANOTHER.search(text):
            yield Note("think-tags", facts.row, "an empty block before another")
            return


def field_texts(conversation: Conversation) -> list[str]:
    """The texts of a conversation, or of a plain row, as the data holds them."""
    if not conversation.messages:
        return [conversation.text, conversation.completion]
    return fields_of(template_messages(conversation), None, {}).texts
