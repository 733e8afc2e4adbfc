"""Figures over a whole set, for any maximum length: from the length of every row and its runs of trained tokens.

Everything is arithmetic on a few arrays, so a line can be moved over a histogram and the figures follow.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
BATCH_SIZES = (1, 2, 4, 8, 16, 32)
# TRL packs each 1,000 rows on their own (the batch size of datasets.map), so the fill depends on it.
_ROWS_PER_PACKING = 1000
_ROWS_PACKED_AT_MOST = 200_000


@dataclass(frozen=True)
class Lengths:
    """Tokens of every row before any cut, and where its trained tokens stand.

    `runs` is int64 [runs, 3]: index into `tokens`, first trained token, one past the last. Sorted by row.
    """

    rows: np.ndarray  # int64 [examples], row numbers
    tokens: np.ndarray  # int64 [examples]
    runs: np.ndarray
    by_role: Mapping[str, int] = field(default_factory=dict)  # tokens per role over the set

    @property
    def trained(self) -> np.ndarray:
        """Trained tokens of every row before any cut, int64 [examples]."""
        return np.bincount(
            self.runs[:, 0], weights=self.runs[:, 2] - self.runs[:, 1], minlength=len(self.tokens)
        ).astype(np.int64)

    def trained_within(self, max_length: int) -> np.ndarray:
        """Trained tokens of every row that stand before `max_length`, int64 [examples]."""
        kept = np.clip(np.minimum(self.runs[:, 2], max_length) - self.runs[:, 1], 0, None)
        return np.bincount(self.runs[:, 0], weights=kept, minlength=len(self.tokens)).astype(np.int64)

    def save(self, path: Path) -> None:
        roles = np.array(list(self.by_role), dtype=np.str_)
        counts = np.array(list(self.by_role.values()), dtype=np.int64)
        np.savez(path, rows=self.rows, tokens=self.tokens, runs=self.runs, roles=roles, role_tokens=counts)

    @classmethod
    def load(cls, path: Path) -> Lengths:
        with np.load(path) as saved:
            by_role = dict(zip(saved["roles"].tolist(), saved["role_tokens"].tolist(), strict=True))
            return cls(saved["rows"], saved["tokens"], saved["runs"], by_role)


@dataclass(frozen=True)
class Summary:
    """The set as it is, before any cut."""

    examples: int
    tokens: int
    trained_tokens: int
    quantiles: dict[str, int]
    by_role: dict[str, int]
    trained_quantiles: dict[str, int]  # trained tokens per row
    heaviest_tenth: float  # share of all trained tokens that the tenth of rows with most of them holds

    @property
    def trained_share(self) -> float:
        return self.trained_tokens / self.tokens if self.tokens else 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"trained_share": round(self.trained_share, 6)}


@dataclass(frozen=True)
class Cut:
    """What a maximum length costs."""

    max_length: int
    rows_cut: int
    rows_without_label: int  # rows that had trained tokens and keep none
    tokens_lost: int
    trained_lost: int
    padding_waste: dict[int, float]  # micro-batch -> share of the batch that is padding
    packing_fill: dict[str, float]  # strategy -> share of the packs that holds tokens
    packs: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def summary(lengths: Lengths) -> Summary:
    """Totals, quantiles of the row lengths ("p50" and so on), tokens per role."""
    tokens, trained = lengths.tokens, lengths.trained
    most = np.sort(trained)[::-1][: -(-len(trained) // 10)]
    return Summary(
        examples=len(tokens),
        tokens=int(tokens.sum()),
        trained_tokens=int(trained.sum()),
        quantiles=_quantiles(tokens),
        by_role=dict(lengths.by_role),
        trained_quantiles=_quantiles(trained),
        heaviest_tenth=float(most.sum() / trained.sum()) if trained.sum() else 0.0,
    )


def _quantiles(values: np.ndarray) -> dict[str, int]:
    if not len(values):
        return {_name(quantile): 0 for quantile in QUANTILES}
    found = np.atleast_1d(np.quantile(values, QUANTILES, method="inverted_cdf"))
    return {_name(quantile): int(value) for quantile, value in zip(QUANTILES, found, strict=True)}


def histogram(lengths: Lengths, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows per range of lengths: counts int64 [bins] and edges int64 [bins + 1], ranges of equal width."""
    longest = int(lengths.tokens.max(initial=1))
    width = max(1, -(-longest // bins))
    edges: np.ndarray = np.arange(bins + 1, dtype=np.int64) * width + 1
    counts, _ = np.histogram(lengths.tokens, edges)
    return counts, edges


def cut_at(lengths: Lengths, max_length: int, *, seed: int = 42) -> Cut:
    """What is lost and wasted at a maximum length, with every packing strategy."""
    before, after = lengths.trained, lengths.trained_within(max_length)
    kept = np.minimum(lengths.tokens, max_length)
    packs = {
        strategy: packs_of(lengths.tokens, max_length, strategy)
        for strategy in ("bfd", "bfd_split", "wrapped")
    }
    held = {
        "bfd": int(kept.sum()),
        "bfd_split": int(lengths.tokens.sum()),
        "wrapped": int(lengths.tokens.sum()),
    }
    return Cut(
        max_length=max_length,
        rows_cut=int((lengths.tokens > max_length).sum()),
        rows_without_label=int(((before > 0) & (after == 0)).sum()),
        tokens_lost=int((lengths.tokens - kept).sum()),
        trained_lost=int((before - after).sum()),
        padding_waste={size: padding_waste(kept, size, seed) for size in BATCH_SIZES},
        packing_fill={
            name: held[name] / (count * max_length) if count else 0.0 for name, count in packs.items()
        },
        packs=packs,
    )


def padding_waste(lengths: np.ndarray, batch: int, seed: int = 42) -> float:
    """Share of the batches that is padding, with rows drawn in one seeded random order."""
    if not len(lengths):
        return 0.0
    order = np.random.default_rng(seed).permutation(len(lengths))
    starts = np.arange(0, len(lengths), batch)
    longest = np.maximum.reduceat(lengths[order], starts)
    rows = np.minimum(batch, len(lengths) - starts)
    padded = int((longest * rows).sum())
    return 1 - int(lengths.sum()) / padded if padded else 0.0


def packs_of(lengths: np.ndarray, max_length: int, strategy: str) -> int:
    """How many packs TRL makes of rows of these lengths, in this order.

    Exact up to 200,000 rows; beyond, the first 200,000 are packed and the count is scaled.
    """
    taken = lengths[:_ROWS_PACKED_AT_MOST]
    batches = [taken[start : start + _ROWS_PER_PACKING] for start in range(0, len(taken), _ROWS_PER_PACKING)]
    if strategy == "wrapped":
        packs = sum(-(-int(batch.sum()) // max_length) for batch in batches)
    elif strategy == "bfd":
        packs = sum(_best_fit(np.minimum(batch, max_length), max_length) for batch in batches)
    else:
        packs = sum(_best_fit(_fragments(batch, max_length), max_length) for batch in batches)
    return packs if len(taken) == len(lengths) else round(packs * len(lengths) / len(taken))


def _fragments(lengths: np.ndarray, max_length: int) -> np.ndarray:
    """Lengths after cutting every row into pieces of at most `max_length`."""
    full: np.ndarray = np.full(int((lengths // max_length).sum()), max_length, dtype=np.int64)
    return np.concatenate([full, lengths % max_length])


def _best_fit(lengths: np.ndarray, size: int) -> int:
    """Bins of best-fit decreasing: the longest first, each into the fullest bin that still takes it."""
    spaces: list[int] = []
    bins = 0
    for length in np.sort(lengths[lengths > 0])[::-1].tolist():
        place = bisect_left(spaces, length)
        if place < len(spaces):
            space = spaces.pop(place)
        else:
            space = size
            bins += 1
        if space > length:
            insort(spaces, space - length)
    return bins


def _name(quantile: float) -> str:
    return {0.0: "shortest", 1.0: "longest"}.get(quantile, f"p{round(quantile * 100)}")
