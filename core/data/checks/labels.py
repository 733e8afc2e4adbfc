"""What is wrong with the labels of a row: what must be trained and is not, and what must not be and is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from core.data.checks.facts import ModelFacts, Note, RowFacts, shown
from core.data.checks.scaffold import scaffold_notes
from core.data.rowpass import cut_length
from core.data.types import Span

_MASKED_ROLES = ("user", "system", "developer")


def label_notes(facts: RowFacts, model: ModelFacts) -> Iterator[Note]:
    """Notes on the labels before truncation, and on what truncation takes from them."""
    if facts.draft.source == "tokens":
        yield from _given(facts, model)
    elif facts.has_places:
        if facts.conversation.messages:
            yield from _turn_ends(facts, model)
            yield from _answers(facts)
            yield from _not_answers(facts)
            yield from scaffold_notes(facts)
            yield from _merges(facts, model)
        yield from _everything(facts)
    yield from _cut(facts, model)


def _given(facts: RowFacts, model: ModelFacts) -> Iterator[Note]:
    """Labels that came with the row."""
    ids, labels = facts.ids, facts.labels
    _, named, mask = facts.conversation.how.partition("labels from ")
    asked = mask if named else f'loss_on = "{model.section.loss_on}"'
    if len(ids) > 1 and facts.trained.all() and (named or model.section.loss_on not in ("auto", "all")):
        yield Note("all-trained", facts.row, asked)
    if len(ids) < 4:
        return
    kept = np.flatnonzero(facts.trained)
    elsewhere = kept[kept < len(ids) - 1]
    if (
        len(elsewhere) > 3
        and (labels[kept] != ids[kept]).mean() > 0.5
        and (labels[elsewhere] == ids[elsewhere + 1]).all()
    ):
        yield Note("labels-shifted", facts.row)


def _turn_ends(facts: RowFacts, model: ModelFacts) -> Iterator[Note]:
    """Every turn that is to be trained must end in a stop token that carries loss and that generation stops on."""
    stops = {
        span.message: span
        for span in facts.rendering.spans
        if span.part == "stop" and span.role == "assistant"
    }
    answered = {
        span.message
        for span in facts.rendering.spans
        if span.role == "assistant" and span.part in ("content", "tool call")
    }
    missing = outside = False
    for message in sorted(answered):
        if not facts.wants(message):
            continue
        span = stops.get(message)
        if span is None:
            missing = True
            continue
        tokens = facts.touching(span.start, span.end)
        if facts.ids[tokens].size and not facts.trained[tokens][0]:
            outside = True
        else:
            yield from _wrong_stop(facts, model, tokens)
    if missing:
        yield Note("no-stop", facts.row)
    if outside:
        yield Note("stop-outside-loss", facts.row)


def _wrong_stop(facts: RowFacts, model: ModelFacts, tokens: slice) -> Iterator[Note]:
    ids = set(facts.ids[tokens].tolist())
    if ids and model.generation_stops and not ids & model.generation_stops:
        yield Note("wrong-stop", facts.row, model.tokenizer.token_text(int(facts.ids[tokens][0])))


def _answers(facts: RowFacts) -> Iterator[Note]:
    """Text of a turn that is to be trained, without a label. Blanks at its ends do not count.

    Only markers can leave out part of an answer; spans found by alignment hold it by construction.
    """
    if facts.draft.source != "markers":
        return
    text = facts.rendering.text
    for field, start, end in facts.fields():
        if field.role != "assistant" or not facts.wants(field.message):
            continue
        inner = text[start:end]
        first = start + len(inner) - len(inner.lstrip())
        tokens = facts.touching(first, start + len(inner.rstrip()))
        masked = np.flatnonzero(~facts.trained[tokens]) + tokens.start
        if len(masked):
            missed = text[facts.starts[masked[0]] : facts.ends[masked[-1]]]
            yield Note("markers-miss-answer", facts.row, f'"{shown(missed)}"')
            return


def _not_answers(facts: RowFacts) -> Iterator[Note]:
    """User, system and tool texts that carry loss although the setting does not ask for them."""
    mode = facts.draft.loss.mode
    if mode == "all":
        results = sum(facts.trained_in(span) for span in facts.rendering.spans if span.part == "tool result")
        if results:
            yield Note("tool-result-in-loss", facts.row, amount=results)
        return
    prompts = results = 0
    first = ""
    for span in facts.rendering.spans:
        if span.part not in ("content", "tool result") or span.role == "assistant" or _asked_for(facts, span):
            continue
        count = facts.trained_in(span)
        if span.part == "tool result":
            results += count
        elif span.role in _MASKED_ROLES:
            prompts += count
            first = first or (facts.rendering.text[span.start : span.end] if count else "")
    if prompts and facts.draft.source == "markers":
        yield Note("markers-take-prompt", facts.row, f'"{shown(first)}"')
    elif prompts:
        yield Note("prompt-in-loss", facts.row, amount=prompts)
    if results:
        yield Note("tool-result-in-loss", facts.row, amount=results)


def _asked_for(facts: RowFacts, span: Span) -> bool:
    """Whether the setting names this very message: by role, or by a flag of the data."""
    if facts.draft.loss.mode not in ("roles", "flags") or span.message < 0:
        return False
    return facts.draft.loss.wants(facts.conversation, span.message)


def _merges(facts: RowFacts, model: ModelFacts) -> Iterator[Note]:
    """A token over the end of a prompt. It is told only where the prompt alone is really split in another way."""
    text, alignment = facts.rendering.text, facts.draft.alignment
    if alignment is None:
        return
    for turn in alignment.skeleton.turns:
        if turn.role != "assistant" or not facts.wants(turn.message):
            continue
        start = alignment.at(turn.start)
        first = int(np.searchsorted(facts.ends, start, side="right"))
        if first < len(facts.ids) and facts.starts[first] < start < facts.ends[first]:
            prompt = model.tokenizer.encode(text[:start])
            if facts.ids[: len(prompt)].tolist() == prompt:
                continue  # Phi-3's role tokens take in the blanks behind them, in the prompt too
            before, after = text[facts.starts[first] : start], text[start : facts.ends[first]]
            yield Note("boundary-merge", facts.row, f'"{shown(before)}" and "{shown(after)}" are one token')
            return


def _everything(facts: RowFacts) -> Iterator[Note]:
    mode = facts.draft.loss.mode
    if (
        mode not in ("all", "roles", "flags")
        and len(facts.ids) > 1
        and facts.trained.all()
        and facts.conversation.kind != "text"
    ):
        yield Note("all-trained", facts.row, f'loss_on = "{mode}"')


def _cut(facts: RowFacts, model: ModelFacts) -> Iterator[Note]:
    limit = cut_length(model.section)
    if limit is None or len(facts.ids) <= limit:
        return
    lost, kept = int(facts.trained[limit:].sum()), int(facts.trained[:limit].sum())
    if lost and not kept:
        first = int(np.flatnonzero(facts.trained)[0])
        yield Note("cut-before-answer", facts.row, f"the answer begins at token {first} of at most {limit}")
    elif lost:
        yield Note("answer-cut", facts.row, amount=lost)
