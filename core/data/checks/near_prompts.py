"""Prompts that are nearly the same, found by MinHash and then compared word by word.

A prompt is the set of its shingles: three words in a row, case and punctuation aside. Two prompts are near if
they share at least NEAR of their shingles (Jaccard). MinHash (Broder 1997) with banding finds the pairs that may
be: a prompt keeps a few numbers, and two that agree in all numbers of one band are compared. Memory is
8 x BANDS bytes a row; texts are read again only for the pairs that are compared.
"""

from __future__ import annotations

import re
import zlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

NEAR = 0.85
BANDS, _ROWS_PER_BAND = (
    6,
    5,
)  # a pair that shares 85 % is met with a chance of 97 %, one of 95 % nearly always
_WORDS = re.compile(r"\w+")
_MOST_WORDS = 2_000  # of a prompt; what follows does not count
_TEMPLATE_ROWS = (
    20  # so many prompts alike but for some words are one template filled in, which is no mistake
)
_MOST_COMPARED = 20_000

_RANDOM = np.random.default_rng(20)
_FACTORS = _RANDOM.integers(1, 2**63, BANDS * _ROWS_PER_BAND, dtype=np.uint64) | np.uint64(1)
_SHIFTS = _RANDOM.integers(0, 2**63, BANDS * _ROWS_PER_BAND, dtype=np.uint64)
_PLACES = _RANDOM.integers(1, 2**63, 3, dtype=np.uint64) | np.uint64(1)
_BAND_FACTORS = _RANDOM.integers(1, 2**63, _ROWS_PER_BAND, dtype=np.uint64) | np.uint64(1)


@dataclass(frozen=True, slots=True)
class Pair:
    """A later prompt and the earlier one it resembles, by their place in the order they were added."""

    earlier: int
    later: int
    shared: float


class NearPrompts:
    """Gathers prompts one by one; `pairs` finds those that are near."""

    def __init__(self) -> None:
        self._keys = array("Q")

    def add(self, prompt: str) -> None:
        found = shingles(prompt)
        if len(found) < 2:  # too short to be like another without being it
            self._keys.extend([0] * BANDS)
            return
        # Unsigned 64-bit arithmetic wraps, which makes it a hash; the high half is the well-mixed one.
        mixed = (found[:, None] * _FACTORS + _SHIFTS) >> np.uint64(32)
        least = mixed.min(axis=0).reshape(BANDS, _ROWS_PER_BAND)
        keys = (least * _BAND_FACTORS).sum(axis=1, dtype=np.uint64) | np.uint64(1)
        self._keys.frombytes(keys.tobytes())

    def pairs(self, prompt_of: Callable[[int], str], same: np.ndarray) -> Iterator[Pair]:
        """Every prompt that is near an earlier one, with the first such. `same` groups prompts that are equal:
        int64 [prompts]; pairs within a group are not told. `prompt_of` gives a prompt's text again."""
        keys = np.frombuffer(self._keys, dtype=np.uint64).reshape(-1, BANDS)
        groups = [group for band in range(BANDS) for group in _groups(keys[:, band], same)]
        filled_in = {place for group in groups if len(group) > _TEMPLATE_ROWS for place in group}
        seen: set[tuple[int, int]] = set()
        near: dict[int, Pair] = {}
        for group in groups:
            first, *rest = group
            for later in rest if first not in filled_in else ():
                if (first, later) in seen or later in near or len(seen) >= _MOST_COMPARED:
                    continue
                seen.add((first, later))
                shared = jaccard(prompt_of(first), prompt_of(later))
                if shared >= NEAR and later not in filled_in:
                    near[later] = Pair(first, later, shared)
        yield from (near[later] for later in sorted(near))


def shingles(text: str) -> np.ndarray:
    """A number for every three words in a row, uint64 [shingles]; of a shorter text, one number per word."""
    words = _WORDS.findall(text.casefold())[:_MOST_WORDS]
    numbers = np.array([zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in words], dtype=np.uint64)
    if len(numbers) < 3:
        return np.unique(numbers)
    found = numbers[:-2] * _PLACES[0] + numbers[1:-1] * _PLACES[1] + numbers[2:] * _PLACES[2]
    return np.unique(found)


def jaccard(one: str, other: str) -> float:
    """The share of shingles that two texts have in common."""
    ours, theirs = shingles(one), shingles(other)
    both = len(np.intersect1d(ours, theirs, assume_unique=True))
    return both / max(len(ours) + len(theirs) - both, 1)


def _groups(keys: np.ndarray, same: np.ndarray) -> Iterator[list[int]]:
    """Places with equal keys, one place per group of equal prompts."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    edges = np.flatnonzero(np.diff(ordered)) + 1
    for start, end in zip([0, *edges.tolist()], [*edges.tolist(), len(ordered)], strict=True):
        if end - start < 2 or not ordered[start]:
            continue
        places = order[start:end]
        _, firsts = np.unique(same[places], return_index=True)
        if len(firsts) > 1:
            yield sorted(places[firsts].tolist())
