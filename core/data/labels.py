"""Labels of encoded drafts: an id where the token carries loss, IGNORED where it does not.

A token carries loss if it overlaps a trained span by at least one character. The rule needs no search for
the content and no decoding, and holds for tokens that share a character or cover several.
"""

from __future__ import annotations

from itertools import accumulate, pairwise

import numpy as np

from core.data.drafting import Draft
from core.data.encode import Encoded
from core.data.responses import label_by_ids
from core.data.token_bytes import in_bytes
from core.data.types import IGNORED
from core.errors import TunedeckError


def label_rows(
    drafts: list[Draft],
    encoded: Encoded,
    prompts: list[np.ndarray | None],
    by_ids: tuple[list[int], list[int]] | None,
) -> np.ndarray:
    """Labels [tokens] of all drafts, end to end, in the order of `encoded`.

    `prompts[i]` holds the ids of draft i's prompt, where it has one. `by_ids` are a response and an
    instruction template given as ids.
    """
    ids = encoded.ids
    trained: np.ndarray = np.ones(len(ids), dtype=bool)
    spanned = [number for number, draft in enumerate(drafts) if draft.trained is not None]
    if spanned:
        _mark_spans(trained, drafts, encoded, spanned)
    for number, draft in enumerate(drafts):
        tokens = encoded.of(number)
        prompt = prompts[number]
        if prompt is not None:
            trained[tokens.start : tokens.start + common_prefix(prompt, ids[tokens])] = False
        if by_ids is not None and draft.loss.mode == "response-template":
            trained[tokens] = label_by_ids(ids[tokens], *by_ids) != IGNORED
    return np.where(trained, ids, np.int32(IGNORED))


def common_prefix(ids: np.ndarray, other: np.ndarray) -> int:
    """How many leading ids two sequences share; the completion begins there, as in TRL."""
    shorter = min(len(ids), len(other))
    different = np.flatnonzero(ids[:shorter] != other[:shorter])
    return int(different[0]) if len(different) else shorter


def _mark_spans(trained: np.ndarray, drafts: list[Draft], encoded: Encoded, spanned: list[int]) -> None:
    """Mark the tokens that overlap a span, for all rows at once: their places are laid end to end."""
    if encoded.starts is None or encoded.ends is None or encoded.bytes_before is None:
        raise TunedeckError(
            "this tokenizer does not say which characters a token covers, so spans cannot be labelled",
            where="data.loss_on",
            fix='use loss_on = "completion" or "all", or a tokenizer with tokenizer.json',
        )
    before = encoded.bytes_before.tolist()
    clear: np.ndarray = np.zeros(len(drafts), dtype=bool)
    clear[spanned] = True
    if len(spanned) == len(drafts):
        trained[:] = False
    else:
        trained[np.repeat(clear, np.diff(encoded.rows))] = False
    spans = np.asarray(
        [
            (before[number] + start, before[number] + end)
            for number in spanned
            for start, end in trained_bytes(drafts[number])
            if end > start
        ],
        dtype=np.int64,
    ).reshape(-1, 2)
    first = np.searchsorted(encoded.ends, spans[:, 0], side="right")
    last = np.searchsorted(encoded.starts, spans[:, 1], side="left")
    for start, end in np.stack([first, last], axis=1).tolist():
        trained[start:end] = True


def trained_bytes(draft: Draft) -> tuple[tuple[int, int], ...]:
    """The draft's trained spans in UTF-8 bytes."""
    spans = draft.trained or ()
    if draft.text.isascii() or not spans:
        return spans
    edges = [edge for span in spans for edge in span]
    if edges != sorted(edges):
        places = in_bytes(draft.text, np.asarray(spans, dtype=np.int64))
        return tuple((start, end) for start, end in places.tolist())
    sizes = (len(draft.text[before:edge].encode()) for before, edge in pairwise([0, *edges]))
    places_in_order = list(accumulate(sizes))
    return tuple(zip(places_in_order[::2], places_in_order[1::2], strict=True))
