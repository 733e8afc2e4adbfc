"""One row as it will be trained: every token with its id, place, part, label and the reason in words.

It goes through the same draft, encoding and labelling as the whole set; only what is shown is added.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from core.data.convert import to_conversation
from core.data.drafting import Drafter
from core.data.encoders import exact_encoder
from core.data.parts import rendering_of
from core.data.reasons import reason_of
from core.data.rowpass import Labelled, cut_length, label_conversations
from core.data.rows import Rows, hub_state, read_rows, require_rows
from core.data.templates import choose_template
from core.data.token_bytes import token_bytes_of
from core.data.tokenizer import Tokenizer, load_tokenizer
from core.data.tokens import NO_TOKENS, Cause, Tokens
from core.data.types import IGNORED, Conversation, Rendering, Row, RowProblem, Span
from core.errors import UsageError
from core.recipe import DataSection, Recipe

_NO_SPAN = Span(0, 0, "content", "", -1)


@dataclass(frozen=True, slots=True)
class ShownRow:
    """A row and its tokens. `kept` of them are trained on; the rest lies past max_length.

    `problem` says why the row is not trained at all; it is empty for a row that is.
    """

    row: int
    raw: Any
    where: str  # file and line
    how: str  # how the record was read, in words
    conversation: Conversation | None
    rendering: Rendering
    tokens: Tokens
    kept: int
    loss_on: str
    template: str
    special_ids: frozenset[int]  # those of its tokens that are control tokens, not text
    problem: str = ""

    @property
    def input_ids(self) -> list[int]:
        return self.tokens.ids[: self.kept].tolist()

    @property
    def labels(self) -> list[int]:
        return self.tokens.labels[: self.kept].tolist()

    @property
    def trained(self) -> int:
        return int(self.tokens.trained[: self.kept].sum())

    def to_json(self) -> dict[str, Any]:
        """The shape of `tunedeck show --json`; documented in docs/labels.md."""
        return {
            "row": self.row,
            "where": self.where,
            "how": self.how,
            "problem": self.problem,
            "loss_on": self.loss_on,
            "template": self.template,
            "input_ids": self.input_ids,
            "labels": self.labels,
            "text": self.rendering.text,
            "full_length": len(self.tokens),
            "tokens": [
                {
                    "id": token.id,
                    "text": token.text,
                    "label": token.label,
                    "role": token.role,
                    "message": token.message,
                    "part": token.part,
                    "reason": token.reason,
                    "span": list(token.span),
                }
                for token in self.tokens
            ],
        }


def show_row(
    recipe: Recipe,
    model_folder: Path,
    number: int,
    progress: Any = None,
    *,
    workspace: Path | None = None,
) -> ShownRow:
    """Row `number` (from 0) as the recipe trains it.

    Raises UsageError for a number the source does not have, TunedeckError for a source, tokenizer or
    template that cannot be used. What is wrong with the row itself is in `problem`.
    """
    rows = opened(recipe.data.source, workspace, recipe.data)
    if number >= len(rows) and not rows.whole:
        rows = read_rows(recipe.data.source, workspace, recipe.data)
    require_rows(rows, recipe.data.source)
    if not 0 <= number < len(rows):
        raise UsageError(
            f"there is no row {number}", where=recipe.data.source, fix=f"rows go from 0 to {len(rows) - 1}"
        )
    tokenizer = load_tokenizer(model_folder, trust_remote_code=recipe.model.trust_remote_code)
    drafter = drafter_for(recipe.data, tokenizer, workspace)
    return shown(rows[number], recipe.data, drafter)


def shown(row: Row, section: DataSection, drafter: Drafter) -> ShownRow:
    """One read row through draft, encoding and labels."""
    conversation = to_conversation(row, section)
    where = f"{row.file}:{row.line}"
    template = drafter.template.name if drafter.template else "none"
    empty = Rendering("", (), False, ())
    if isinstance(conversation, RowProblem):
        return ShownRow(
            row.number,
            row.raw,
            where,
            "",
            None,
            empty,
            NO_TOKENS,
            0,
            section.loss_on,
            template,
            frozenset(),
            conversation.cause,
        )
    batch = label_conversations([conversation], drafter, exact_encoder(drafter.tokenizer), align=True)
    draft, limit = batch.drafts[0], cut_length(section)
    bos = str(drafter.tokenizer.special_texts.get("bos_token", ""))
    rendering = rendering_of(draft, drafter.stops, bos)
    tokens = _tokens(batch, rendering, conversation, section, drafter.tokenizer)
    return ShownRow(
        row.number,
        row.raw,
        where,
        conversation.how,
        conversation,
        rendering,
        tokens,
        len(tokens) if limit is None else min(len(tokens), limit),
        draft.loss.mode,
        template,
        drafter.tokenizer.control_ids & frozenset(batch.encoded.ids.tolist()),
        draft.problem,
    )


def _tokens(
    batch: Labelled,
    rendering: Rendering,
    conversation: Conversation,
    section: DataSection,
    tokenizer: Tokenizer,
) -> Tokens:
    draft, encoded = batch.drafts[0], batch.encoded
    if not len(encoded.ids):
        return NO_TOKENS
    nothing: np.ndarray = np.zeros(len(encoded.ids), dtype=np.int64)
    starts, ends = batch.characters(0) or (nothing, nothing)
    span_of = _spans_of(rendering, starts, ends)
    trained = batch.labels != IGNORED
    limit = cut_length(section)
    cut = np.arange(len(starts)) >= (len(starts) if limit is None else limit)
    kinds, cause = np.unique(span_of * 4 + trained * 2 + cut, return_inverse=True)
    causes = []
    for kind in kinds.tolist():
        span = rendering.spans[kind // 4] if rendering.spans else _NO_SPAN
        reason = reason_of(draft, span, conversation, kind & 2 > 0, kind & 1 > 0, section)
        causes.append(Cause(span.role, span.message, span.part, reason))
    known = token_bytes_of(tokenizer)
    different, piece = np.unique(encoded.ids, return_inverse=True)
    return Tokens(
        encoded.ids,
        batch.labels,
        starts.astype(np.int32),
        ends.astype(np.int32),
        piece.astype(np.int32),
        cause.astype(np.int32),
        tuple(known.of(number) for number in different.tolist()),
        tuple(causes),
    )


def _spans_of(rendering: Rendering, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """The number of the span every token belongs to: int64 [tokens]; 0 where there are no spans."""
    spans = rendering.spans
    if not spans:
        return np.zeros(len(starts), dtype=np.int64)
    span_starts = np.asarray([span.start for span in spans])
    found: np.ndarray = np.maximum(np.searchsorted(span_starts, starts, side="right") - 1, 0)
    span_ends = np.asarray([span.end for span in spans])
    for token in np.flatnonzero(ends > span_ends[found]).tolist():
        found[token] = _span_at(spans, int(found[token]), (int(starts[token]), int(ends[token])))
    return found


def _span_at(spans: tuple[Span, ...], first: int, place: tuple[int, int]) -> int:
    """The span that holds most of a token which begins in `first`."""
    best, most = first, -1
    for number in range(first, len(spans)):
        span = spans[number]
        if span.start >= max(place[1], place[0] + 1):
            break
        shared = min(span.end, place[1]) - max(span.start, place[0])
        if shared > most:
            best, most = number, shared
    return best


@lru_cache(maxsize=4)
def _opened_at(
    source: str, workspace: Path | None, config: str, split: str, revision: str, _state: tuple[Any, ...]
) -> Rows:
    section = DataSection(source=source, config=config, split=split, revision=revision)
    return read_rows(source, workspace, section, reach="look")


def opened(source: str, workspace: Path | None, section: DataSection) -> Rows:
    """The source's rows, opened once while its file does not change. Labels and templates play no part.

    Of a Hub data set that is not on this machine these are the first rows, streamed (`Rows.whole` is False).
    """
    path = (workspace or Path.cwd()) / Path(source).expanduser()
    state: tuple[Any, ...] = ()
    if path.is_file():
        stat = path.stat()
        state = (stat.st_size, stat.st_mtime_ns)
    else:
        state = hub_state(source, section)
    return _opened_at(source, workspace, section.config, section.split, section.revision, state)


@lru_cache(maxsize=8)
def _drafter_of(section: str, tokenizer: Tokenizer, template: Any) -> Drafter:
    return Drafter(DataSection.model_validate_json(section), tokenizer, template)


def drafter_for(section: DataSection, tokenizer: Tokenizer, workspace: Path | None) -> Drafter:
    """A drafter, kept with the shapes it has met, while section, tokenizer and template stay the same."""
    template = choose_template(section.template, tokenizer, workspace)
    return _drafter_of(section.model_dump_json(), tokenizer, template)
