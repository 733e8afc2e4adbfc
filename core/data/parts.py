"""Every character of a rendering with its cause: which message, which part of it. The spans tile the text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.data.drafting import Draft
from core.data.skeleton import Alignment, Turn
from core.data.stops import Stops
from core.data.types import Part, Rendering, Span

_BLANKS = re.compile(r"\s*")


@dataclass(frozen=True, slots=True)
class _Owner:
    """The field on one side of a literal."""

    message: int
    role: str
    part: Part


def rendering_of(draft: Draft, stops: Stops, bos: str) -> Rendering:
    """The draft's text with spans that tile it, and the characters that carry loss."""
    text = draft.text
    if draft.alignment is not None:
        spans = _aligned_spans(text, draft.alignment, stops, bos)
    else:
        spans = _plain_spans(draft)
    if draft.trained is not None:
        trained = draft.trained
    elif draft.prompt is not None:
        start = _shared(draft.prompt, text)
        trained = ((start, len(text)),) if start < len(text) else ()
    else:
        trained = ((0, len(text)),) if text and not draft.code else ()
    return Rendering(
        text,
        tuple(span for span in spans if span.end > span.start),
        draft.alignment is not None or draft.source in ("text", "tokens"),
        trained,
        draft.source,  # type: ignore[arg-type]
    )


def _plain_spans(draft: Draft) -> list[Span]:
    end = len(draft.text)
    if draft.source != "text":
        return [Span(0, end, "scaffold", "", -1)]
    eos = end - draft.eos_length
    split = len(draft.prompt) if draft.prompt is not None else 0
    return [
        Span(0, split, "content", "prompt", -1),
        Span(split, eos, "content", "completion" if draft.prompt is not None else "", -1),
        Span(eos, end, "added eos", "", -1),
    ]


def _aligned_spans(text: str, alignment: Alignment, stops: Stops, bos: str) -> list[Span]:
    skeleton, starts = alignment.skeleton, alignment.starts
    owners = [
        None if isinstance(piece, str) else _Owner(*_of_field(alignment, piece)) for piece in skeleton.pieces
    ]
    after: _Owner | None = None
    following: list[_Owner | None] = []
    for owner in reversed(owners):
        following.append(after)
        after = owner or after
    following.reverse()
    spans: list[Span] = []
    before: _Owner | None = None
    for number, owner in enumerate(owners):
        start, end = starts[number], starts[number + 1]
        if owner is not None:
            spans.append(Span(start, end, owner.part, owner.role, owner.message))
            before = owner
        else:
            spans += _literal(text, start, end, before, following[number], stops, bos)
    turns = [
        (alignment.at(turn.start), alignment.at(turn.end), turn)
        for turn in skeleton.turns
        if turn.role == "assistant"
    ]
    first_part: dict[int, Part] = {}
    for owner in owners:
        if owner is not None:
            first_part.setdefault(owner.message, owner.part)
    return _with_bare_turns(spans, turns, text, stops, first_part)


def _of_field(alignment: Alignment, number: int) -> tuple[int, str, Part]:
    found = alignment.skeleton.fields[number]
    return found.message, found.role, found.part


def _literal(
    text: str, start: int, end: int, before: _Owner | None, after: _Owner | None, stops: Stops, bos: str
) -> list[Span]:
    """A literal between two fields: the rest of one message, its stop, blanks, and the header of the next."""
    if before is not None and after is not None and before.message == after.message:
        part = "tool call" if "tool call" in (before.part, after.part) else before.part
        return [Span(start, end, part, before.role, before.message)]
    if before is None:
        return _opening(text, start, end, after, stops, bos)
    spans = []
    position = start
    stop = stops.first_in(text, start, end)
    if stop is not None:
        first, last = stop
        inner: Part = "tool call" if before.part == "tool call" else "scaffold"
        spans += [
            Span(start, first, inner, before.role, before.message),
            Span(first, last, "stop", before.role, before.message),
        ]
        position = last
    blank = _blanks_end(text, position, end)
    spans.append(Span(position, blank, "separator", before.role, before.message))
    spans.append(_header(blank, end, after))
    return spans


def _opening(text: str, start: int, end: int, after: _Owner | None, stops: Stops, bos: str) -> list[Span]:
    """What comes before the first field: BOS, a system text of the template's own, the first header."""
    spans = []
    position = start
    if bos and text.startswith(bos, start) and start + len(bos) <= end:
        spans.append(Span(start, start + len(bos), "bos", "", -1))
        position = start + len(bos)
    last = position
    while (stop := stops.first_in(text, last, end)) is not None:
        last = stop[1]
    if last > position:
        last = _blanks_end(text, last, end)
        spans.append(Span(position, last, "scaffold", "", -1))
    spans.append(_header(last, end, after))
    return spans


def _header(start: int, end: int, after: _Owner | None) -> Span:
    if after is None:
        return Span(start, end, "scaffold", "", -1)
    return Span(start, end, "header", after.role, after.message)


def _with_bare_turns(
    spans: list[Span],
    turns: list[tuple[int, int, Turn]],
    text: str,
    stops: Stops,
    first_part: dict[int, Part],
) -> list[Span]:
    """Cut the literals where an assistant turn begins or ends, and give what lies inside to that turn."""
    result: list[Span] = []
    waiting = sorted((turn for turn in turns if turn[1] > turn[0]), key=lambda turn: turn[:2], reverse=True)
    for span in spans:
        while waiting and waiting[-1][1] <= span.start:
            waiting.pop()
        result += _cut(span, waiting, text, stops, first_part)
    return result


def _cut(
    span: Span, turns: list[tuple[int, int, Turn]], text: str, stops: Stops, first_part: dict[int, Part]
) -> list[Span]:
    """One span with what of it lies inside the coming turns (the nearest is last) given to them."""
    pieces: list[Span] = []
    position = span.start
    for start, end, turn in reversed(turns):
        if start >= span.end:
            break
        if span.message == turn.message and span.part != "header":
            continue
        first, last = max(position, start), min(span.end, end)
        if first >= last:
            continue
        part = span.part
        if part in ("header", "separator", "scaffold"):
            part = first_part.get(turn.message, "content")
        pieces.append(Span(position, first, span.part, span.role, span.message))
        pieces += _turn_spans(text, (first, last), part, turn.role, turn.message, stops)
        position = last
    pieces.append(Span(position, span.end, span.part, span.role, span.message))
    return [piece for piece in pieces if piece.end > piece.start]


def _turn_spans(
    text: str, inside: tuple[int, int], part: Part, role: str, message: int, stops: Stops
) -> list[Span]:
    stop = stops.first_in(text, inside[0], inside[1])
    if stop is None:
        return [Span(*inside, part, role, message)]
    return [
        Span(inside[0], stop[0], part, role, message),
        Span(stop[0], stop[1], "stop", role, message),
        Span(stop[1], inside[1], "separator", role, message),
    ]


def _blanks_end(text: str, position: int, end: int) -> int:
    match = _BLANKS.match(text, position, end)
    return match.end() if match else position


def _shared(one: str, other: str) -> int:
    count = 0
    for ours, theirs in zip(one, other, strict=False):
        if ours != theirs:
            break
        count += 1
    return count
