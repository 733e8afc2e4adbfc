"""What the checks look at: one row with its rendering, tokens and labels, and the model it is for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from core.data.drafting import Draft, Drafter
from core.data.fields import Field
from core.data.tokenizer import Tokenizer
from core.data.types import Conversation, Rendering, Span
from core.recipe import DataSection


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The model's side: what generation really stops on, and how many embedding rows there are."""

    drafter: Drafter
    section: DataSection
    generation_stops: frozenset[int]  # of the generation config where there is one, else EOS
    embedding_rows: int | None  # None where the folder has no config.json
    control_texts: tuple[str, ...]  # texts of the special tokens, longest first
    end_ids: frozenset[int]  # what ends a turn in this template, and EOS
    bos: int | None  # None also where BOS and EOS are one token

    @property
    def tokenizer(self) -> Tokenizer:
        return self.drafter.tokenizer


@dataclass(frozen=True, slots=True)
class RowFacts:
    """One row before truncation. Token places are characters [start, end) of the rendering's text."""

    conversation: Conversation
    draft: Draft
    rendering: Rendering
    ids: np.ndarray
    labels: np.ndarray
    trained: np.ndarray  # which tokens carry loss, bool [tokens]
    starts: np.ndarray
    ends: np.ndarray

    @property
    def row(self) -> int:
        return self.conversation.row

    @property
    def has_places(self) -> bool:
        """Whether tokens can be laid against the spans at all."""
        return bool(self.rendering.spans) and self.rendering.aligned and self.draft.source != "tokens"

    def within(self, span: Span) -> slice:
        """The tokens that lie wholly inside a span."""
        first = int(np.searchsorted(self.starts, span.start, side="left"))
        last = int(np.searchsorted(self.ends, span.end, side="right"))
        return slice(first, max(first, last))

    def touching(self, start: int, end: int) -> slice:
        """The tokens that cover at least one of the characters [start, end)."""
        first = int(np.searchsorted(self.ends, start, side="right"))
        last = int(np.searchsorted(self.starts, end, side="left"))
        return slice(first, max(first, last))

    def fields(self) -> Iterator[tuple[Field, int, int]]:
        """Every text of the data that the template printed, and its characters [start, end)."""
        alignment = self.draft.alignment
        if alignment is None:
            return
        for number, piece in enumerate(alignment.skeleton.pieces):
            if isinstance(piece, int):
                places = alignment.starts[number], alignment.starts[number + 1]
                yield alignment.skeleton.fields[piece], *places

    def trained_in(self, span: Span) -> int:
        """Trained tokens wholly inside a span."""
        return int(self.trained[self.within(span)].sum())

    def wants(self, message: int) -> bool:
        """Whether the chosen setting means to train this message."""
        if self.draft.prompt is not None:
            start = self.draft.loss.completion_from
            return (
                start is not None
                and message >= start
                and self.conversation.messages[message].role == "assistant"
            )
        return self.draft.loss.wants(self.conversation, message)


@dataclass(frozen=True, slots=True)
class Note:
    """One sign of one diagnosis in one row. `detail` goes into the cause, `amount` is summed over the rows."""

    code: str
    row: int
    detail: str = ""
    amount: int = 0


def shown(text: str, width: int = 40) -> str:
    """A text on one line, with control characters spelled, cut in the middle of nothing."""
    plain = repr(text)[1:-1]
    return plain if len(plain) <= width else plain[: width - 1] + "…"
