"""Why a row is not trained: the one true cause, found by trying what could be it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from core.data.checks.facts import ModelFacts, Note, shown
from core.data.drafting import Draft
from core.data.render import RenderError, template_messages
from core.data.types import Conversation, Message


def refused(conversation: Conversation, draft: Draft, model: ModelFacts) -> Iterator[Note]:
    """Notes of a row whose draft has a problem."""
    if draft.code == "template-refuses":
        yield _refusal(conversation, draft, model)
    elif draft.code:
        yield Note(draft.code, conversation.row, draft.problem)


def untrained(conversation: Conversation, draft: Draft, length: int) -> Note:
    """The note of a row that has tokens, or none, but no trained one."""
    row = conversation.row
    if not length:
        roles = sorted({message.role for message in conversation.messages})
        return Note("empty-rendering", row, ", ".join(roles) or "none")
    mode = draft.loss.mode
    if conversation.messages and not any(message.role == "assistant" for message in conversation.messages):
        return Note("no-answer", row)
    if draft.source == "markers":
        return Note("no-trained-token", row, "the template's generation markers enclose nothing of the row")
    if mode == "flags":
        return Note("no-trained-token", row, "the row's own flags mask every turn")
    if mode == "response-template":
        return Note("no-trained-token", row, "the response template does not occur in the row")
    if mode == "given":
        return Note("no-trained-token", row, "the row's own labels mask every token")
    return Note("no-trained-token", row, f'no turn carries loss under loss_on = "{mode}"')


def _refusal(conversation: Conversation, draft: Draft, model: ModelFacts) -> Note:
    """Which part of the row the template does not take: each candidate is left out in turn and rendered again."""
    reason = shown(draft.problem.removeprefix("the chat template refused the row: "), 80)
    without_system = replace(
        conversation,
        messages=tuple(m for m in conversation.messages if m.role not in ("system", "developer")),
    )
    if len(without_system.messages) < len(conversation.messages) and _renders(without_system, model):
        return Note("system-refused", conversation.row, reason)
    if _renders(_joined(conversation), model):
        return Note("role-order-refused", conversation.row, reason)
    without_tools = replace(
        conversation,
        tools=(),
        messages=tuple(m._replace(tool_calls=()) for m in conversation.messages if m.role != "tool"),
    )
    if without_tools != conversation and _renders(without_tools, model):
        return Note("tools-refused", conversation.row, reason)
    return Note("template-refuses", conversation.row, reason)


def _joined(conversation: Conversation) -> Conversation:
    """The same row with turns of one role joined and everything before the first user turn, but the system, left out."""
    messages: list[Message] = []
    for message in conversation.messages:
        if message.role == "assistant" and not any(m.role == "user" for m in messages):
            continue
        if messages and messages[-1].role == message.role:
            messages[-1] = messages[-1]._replace(content=f"{messages[-1].content}\n{message.content}")
        else:
            messages.append(message)
    return replace(conversation, messages=tuple(messages))


def _renders(conversation: Conversation, model: ModelFacts) -> bool:
    renderer = model.drafter.renderer
    if renderer is None or not conversation.messages:
        return False
    try:
        renderer.render(
            template_messages(conversation),
            list(conversation.tools) or None,
            conversation.template_kwargs,
        )
    except RenderError:
        return False
    return True
