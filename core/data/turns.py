"""Which characters of a rendering carry loss, by the span rule.

An assistant turn's span runs from the end of the generation prompt to and including the token that stops
generation. Generation markers, where the template has them, are the truth instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.data.render import Renderer, RenderError, Spans
from core.data.stops import Stops
from core.data.types import Conversation

if TYPE_CHECKING:
    from core.data.drafting import Draft

__all__ = ["Spans", "find_trained"]


def find_trained(
    draft: Draft, conversation: Conversation, messages: list[dict[str, Any]], renderer: Renderer, stops: Stops
) -> None:
    """Set the draft's `trained`, or the reason why its turns could not be found: then nothing is trained."""
    draft.trained = ()
    if draft.source == "markers":
        _by_markers(draft, conversation)
    elif draft.alignment is not None:
        draft.trained = _by_alignment(draft, conversation)
    else:
        _by_prefix(draft, conversation, messages, renderer, stops)


def _by_markers(draft: Draft, conversation: Conversation) -> None:
    loss = draft.loss
    if loss.takes_every_turn(conversation):
        draft.trained = draft.marked
        return
    assistants = [index for index, message in enumerate(conversation.messages) if message.role == "assistant"]
    others = [turn for turn in _spans_of_turns(draft, conversation) if turn[0] not in assistants]
    if len(draft.marked) == len(assistants):
        owned = list(zip(assistants, draft.marked, strict=True))
    elif draft.alignment is not None:
        owned = _by_overlap(draft, conversation)
    else:
        draft.code = "not-aligned"
        draft.problem = f"{len(draft.marked)} marked spans for {len(assistants)} answers, and the turns cannot be told apart"
        return
    wanted = [span for index, span in owned + others if loss.wants(conversation, index)]
    draft.trained = tuple(sorted(wanted))


def _by_overlap(draft: Draft, conversation: Conversation) -> list[tuple[int, tuple[int, int]]]:
    """Each marked span with the assistant turn it covers."""
    owned = []
    for start, end in draft.marked:
        for index, (first, last) in _spans_of_turns(draft, conversation):
            if conversation.messages[index].role == "assistant" and first < end and start < last:
                owned.append((index, (start, end)))
                break
    return owned


def _by_alignment(draft: Draft, conversation: Conversation) -> Spans:
    return tuple(
        span for index, span in _spans_of_turns(draft, conversation) if draft.loss.wants(conversation, index)
    )


def _spans_of_turns(draft: Draft, conversation: Conversation) -> list[tuple[int, tuple[int, int]]]:
    if draft.alignment is None:
        return []
    at = draft.alignment.at
    return [(turn.message, (at(turn.start), at(turn.end))) for turn in draft.alignment.skeleton.turns]


def _by_prefix(
    draft: Draft, conversation: Conversation, messages: list[dict[str, Any]], renderer: Renderer, stops: Stops
) -> None:
    """The template rewrites content: compare the rendering with that of the messages before each answer.

    Works where both the prompt and the prompt with its answer are how the whole conversation begins;
    otherwise the row is not trained, and said to be so.
    """
    spans = []
    tools, kwargs = list(conversation.tools) or None, conversation.template_kwargs
    for index, message in enumerate(messages):
        if not draft.loss.wants(conversation, index):
            continue
        try:
            prompt = renderer.render(messages[:index], tools, kwargs, prompt=message["role"] == "assistant")
            through = renderer.render(messages[: index + 1], tools, kwargs)
        except RenderError:
            prompt, through = draft.text + "\0", ""
        if not (
            draft.text.startswith(prompt) and draft.text.startswith(through) and len(prompt) <= len(through)
        ):
            draft.code = "not-aligned"
            draft.problem = (
                "the template rewrites this row's content, so its answers cannot be found in the text"
            )
            return
        end = len(prompt)
        while (stop := stops.first_in(through, end)) is not None:
            end = stop[1]
        spans.append((len(prompt), end if end > len(prompt) else len(through)))
    draft.trained, draft.source = tuple(spans), "prefix"
