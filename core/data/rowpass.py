"""One pass over conversations: draft, encode, label, cut, write. The only path from rows to examples."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from core.data.drafting import Draft, Drafter
from core.data.encode import Encoded, Encoder, row_starts, with_rows
from core.data.labels import label_rows
from core.data.render import limits
from core.data.token_bytes import in_characters
from core.data.tokenizer import as_ids
from core.data.types import IGNORED, Conversation, RowProblem
from core.recipe import DataSection

_NEVER = 1 << 40  # tokens; no row is that long


@dataclass(frozen=True, slots=True)
class Labelled:
    """Drafts with their tokens and labels, before truncation. Rows with a problem have no tokens."""

    drafts: list[Draft]
    encoded: Encoded
    labels: np.ndarray

    def characters(self, number: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Starts and ends of one row's tokens in the characters of its text; None where they are not known."""
        draft, places = self.drafts[number], self.encoded.places(number)
        if places is None or draft.source == "tokens":
            return None
        return in_characters(draft.text, *places)


@dataclass(slots=True)
class Seconds:
    """Where the time went."""

    render: float = 0.0
    encode: float = 0.0
    label: float = 0.0
    write: float = 0.0
    total: float = 0.0


@dataclass(slots=True)
class Kept:
    """What of a batch is trained: ids and labels end to end, and per kept row its number and length."""

    ids: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    lengths: np.ndarray
    trained: np.ndarray  # trained tokens per kept row


@dataclass(slots=True)
class Outcome:
    """What a pass found besides the examples: why rows are not trained, and what was cut."""

    problems: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    cut: list[int] = field(default_factory=list)
    tokens_cut: int = 0
    trained_tokens_cut: int = 0


def label_conversations(
    conversations: Iterable[Conversation], drafter: Drafter, encoder: Encoder, *, align: bool = False
) -> Labelled:
    """Draft, encode and label a batch. Problems stay in their drafts; nothing is left out."""
    seconds = Seconds()
    return label_drafts(
        draft_rows(conversations, drafter, seconds, align=align), drafter, encoder, seconds, align
    )


def draft_rows(
    conversations: Iterable[Conversation], drafter: Drafter, seconds: Seconds, *, align: bool = False
) -> list[Draft]:
    """The first half of a batch: rendering, in Python."""
    started = time.perf_counter()
    with limits():
        drafts = [drafter.draft(conversation, align=align) for conversation in conversations]
    seconds.render += time.perf_counter() - started
    return drafts


def label_drafts(
    drafts: list[Draft], drafter: Drafter, encoder: Encoder, seconds: Seconds, places: bool = False
) -> Labelled:
    """The second half: tokens and labels, in Rust and numpy. May run in another thread than the first."""
    started = time.perf_counter()
    encoded = _encode(drafts, encoder, places=places)
    prompts = _prompts(drafts, encoder)
    done = time.perf_counter()
    labels = label_rows(drafts, encoded, prompts, drafter.response_ids)
    _given_labels(drafts, encoded, labels)
    seconds.encode += done - started
    seconds.label += time.perf_counter() - done
    return Labelled(drafts, encoded, labels)


def cut_length(section: DataSection) -> int | None:
    """Where rows are cut; None where packing cuts them itself and loses nothing by it."""
    return None if section.packing in ("bfd_split", "wrapped") else section.max_length


def kept_rows(batch: Labelled, max_length: int | None, outcome: Outcome) -> Kept:
    """Cut rows to `max_length` from their end, leave out rows without a label, and note both."""
    max_length = _NEVER if max_length is None else max_length
    drafts, rows = batch.drafts, batch.encoded.rows
    lengths = np.diff(rows)
    trained = batch.labels != IGNORED
    trained_full = _per_row(trained, rows)
    position = np.arange(len(batch.labels)) - np.repeat(rows[:-1], lengths)
    inside = position < max_length
    trained_kept = _per_row(trained & inside, rows)
    for number in np.flatnonzero(trained_kept == 0).tolist():
        draft = drafts[number]
        if draft.code:
            outcome.problems[draft.code].append((draft.row, draft.problem))
        elif not trained_full[number]:
            code, why = _nothing_trained(draft, int(lengths[number]))
            outcome.problems[code].append((draft.row, why))
        else:
            outcome.problems["cut-before-answer"].append(
                (draft.row, f"its first trained token lies past max_length {max_length}")
            )
    long = lengths > max_length
    outcome.cut += [drafts[number].row for number in np.flatnonzero(long)]
    outcome.tokens_cut += int((lengths - max_length)[long].sum())
    outcome.trained_tokens_cut += int((trained_full - trained_kept).sum())
    keep = trained_kept > 0
    tokens = inside & np.repeat(keep, lengths)
    numbers = np.fromiter((draft.row for draft in drafts), dtype=np.int64, count=len(drafts))
    return Kept(
        batch.encoded.ids[tokens],
        batch.labels[tokens],
        numbers[keep],
        np.minimum(lengths, max_length)[keep],
        trained_kept[keep],
    )


def note_problem(problem: RowProblem, outcome: Outcome) -> None:
    outcome.problems[problem.code].append((problem.row, problem.cause))


def _encode(drafts: list[Draft], encoder: Encoder, *, places: bool) -> Encoded:
    """Ids of all drafts in their order; plain calls and chat text are encoded apart."""
    places = places or any(draft.trained is not None for draft in drafts)
    chats = [number for number, draft in enumerate(drafts) if not draft.plain and draft.text]
    if len(chats) == len(drafts):
        return encoder.encode([draft.text for draft in drafts], plain=False, places=places)
    nothing: np.ndarray = np.zeros(0, dtype=np.int64)
    empty: np.ndarray = np.zeros(len(drafts) + 1, dtype=np.int64)
    encoded = Encoded(as_ids([]), empty, nothing, nothing, empty)
    plain = [number for number, draft in enumerate(drafts) if draft.plain and draft.text]
    for numbers, is_plain in ((chats, False), (plain, True)):
        if numbers:
            texts = [drafts[number].text for number in numbers]
            some = encoder.encode(texts, plain=is_plain, places=places)
            encoded = with_rows(encoded, np.asarray(numbers), some)
    given = [number for number, draft in enumerate(drafts) if draft.ids]
    if given:
        ids = [as_ids(drafts[number].ids) for number in given]
        rows = row_starts([len(item) for item in ids])
        without: np.ndarray = np.zeros(int(rows[-1]), dtype=np.int64)
        own = Encoded(np.concatenate(ids), rows, without, without, np.zeros(len(given) + 1, np.int64))
        encoded = with_rows(encoded, np.asarray(given), own)
    return encoded


def _prompts(drafts: list[Draft], encoder: Encoder) -> list[np.ndarray | None]:
    """Ids of every prompt, encoded the way its whole text was."""
    prompts: list[np.ndarray | None] = [None] * len(drafts)
    for plain in (False, True):
        numbers = [
            number
            for number, draft in enumerate(drafts)
            if draft.prompt is not None and draft.plain is plain and not draft.code
        ]
        if numbers:
            texts = [drafts[number].prompt or "" for number in numbers]
            encoded = encoder.encode(texts, plain=plain, places=False)
            for index, number in enumerate(numbers):
                prompts[number] = encoded.ids[encoded.of(index)]
    return prompts


def _given_labels(drafts: list[Draft], encoded: Encoded, labels: np.ndarray) -> None:
    for number, draft in enumerate(drafts):
        if draft.source == "tokens":
            labels[encoded.of(number)] = as_ids(draft.labels)


def _per_row(marks: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """How many tokens of each row are marked."""
    sums = np.concatenate([[0], np.cumsum(marks, dtype=np.int64)])
    counts: np.ndarray = sums[rows[1:]] - sums[rows[:-1]]
    return counts


def _nothing_trained(draft: Draft, length: int) -> tuple[str, str]:
    if not length:
        return "empty-rendering", "the template renders the row to nothing"
    if draft.source == "markers":
        return "no-trained-token", "the template's markers enclose no text of this row"
    if draft.loss.mode == "response-template":
        return "no-trained-token", "the response template does not occur in the row"
    return "no-trained-token", f'no turn of the row carries loss under loss_on = "{draft.loss.mode}"'
