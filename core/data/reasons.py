"""Why a token is trained or not, in words a person can check."""

from __future__ import annotations

from core.data.drafting import Draft
from core.data.types import Conversation, Span
from core.recipe import DataSection

_SUPPLIED = "the generation prompt supplies it"


def reason_of(
    draft: Draft, span: Span, conversation: Conversation, trained: bool, cut: bool, section: DataSection
) -> str:
    """One short sentence for one token."""
    if draft.problem:
        return f"not trained: {draft.problem}"
    if cut:
        return f"cut off: past max_length {section.max_length}"
    mode = draft.loss.mode
    if mode == "given":
        return "the row's own label" if trained else "masked by the row's own labels"
    if mode == "all":
        return (
            "everything is trained"
            if span.part != "added eos"
            else "appended, so that the model learns to end"
        )
    if mode == "completion":
        return _of_completion(span, trained)
    if mode == "response-template":
        return "after the response template" if trained else "before the response template"
    return _of_turn(draft, span, conversation, trained)


def _of_completion(span: Span, trained: bool) -> str:
    if not trained:
        return "same as in the prompt alone"
    if span.part == "added eos":
        return "appended, so that the model learns to end"
    return "completion: from the first token that the prompt alone does not have"


def _of_turn(draft: Draft, span: Span, conversation: Conversation, trained: bool) -> str:
    how = "the template marks it as generated" if draft.source == "markers" else "the model must produce it"
    if trained:
        if span.part == "stop":
            return "the stop token of a trained turn"
        if span.role != "assistant":
            return f"{how}: {span.role or 'template'} text inside a trained span"
        return f"{how}: assistant turn, {span.part}"
    if span.role == "assistant" and span.part == "header":
        return _SUPPLIED
    if span.part == "separator":
        return "after the stop token"
    if span.role == "assistant" and span.message >= 0:
        return _of_masked_turn(draft, span, conversation)
    if span.role:
        return (
            f"{span.role} {'message' if span.part == 'content' else span.part}: not what the model produces"
        )
    return "the template's own text"


def _of_masked_turn(draft: Draft, span: Span, conversation: Conversation) -> str:
    if draft.loss.wants(conversation, span.message):
        return _SUPPLIED
    mode = draft.loss.mode
    if mode == "last":
        return 'an earlier answer: loss_on = "last"'
    if mode == "flags":
        return "the row's own flag or weight masks this turn"
    if mode == "roles":
        return 'loss_on = "roles" does not name assistant'
    return "not in the completion"
