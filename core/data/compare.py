"""The same row under two settings, token by token: what another mode or template would change."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import get_args

from core.data.view import ShownRow
from core.recipe import LossOn, Recipe, with_changes

_LONGEST_MATCHED = 20_000  # tokens of the differing middle that are aligned one by one


@dataclass(frozen=True, slots=True)
class Pair:
    """A token on each side, by index; None where the other side has no such token."""

    left: int | None
    right: int | None
    same_id: bool
    same_label: bool  # both trained or both masked


def under(recipe: Recipe, setting: str) -> Recipe:
    """The recipe with another `loss_on`, or, where the text names no mode, another template."""
    key = "data.loss_on" if setting in get_args(LossOn) else "data.template"
    return with_changes(recipe, {key: setting})


def compare_rows(left: ShownRow, right: ShownRow) -> tuple[Pair, ...]:
    """Both token sequences laid side by side; equal ids stand together."""
    ours, theirs = left.input_ids, right.input_ids
    trained, also = left.tokens.trained.tolist(), right.tokens.trained.tolist()
    return tuple(
        Pair(one, other, False, False)
        if one is None or other is None
        else Pair(one, other, ours[one] == theirs[other], trained[one] == also[other])
        for one, other in _matched(ours, theirs)
    )


def _matched(ours: list[int], theirs: list[int]) -> list[tuple[int | None, int | None]]:
    start = 0
    while start < min(len(ours), len(theirs)) and ours[start] == theirs[start]:
        start += 1
    end = 0
    while end < min(len(ours), len(theirs)) - start and ours[-1 - end] == theirs[-1 - end]:
        end += 1
    pairs: list[tuple[int | None, int | None]] = [(index, index) for index in range(start)]
    middle, other = ours[start : len(ours) - end], theirs[start : len(theirs) - end]
    pairs += [
        (None if one is None else one + start, None if two is None else two + start)
        for one, two in _middle(middle, other)
    ]
    pairs += [(len(ours) - end + index, len(theirs) - end + index) for index in range(end)]
    return pairs


def _middle(ours: list[int], theirs: list[int]) -> list[tuple[int | None, int | None]]:
    if max(len(ours), len(theirs)) > _LONGEST_MATCHED:
        left: list[tuple[int | None, int | None]] = [(index, None) for index in range(len(ours))]
        return left + [(None, index) for index in range(len(theirs))]
    pairs: list[tuple[int | None, int | None]] = []
    for kind, a, b, c, d in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        if kind == "equal":
            pairs += [(a + index, c + index) for index in range(b - a)]
        else:
            pairs += [(index, None) for index in range(a, b)]
            pairs += [(None, index) for index in range(c, d)]
    return pairs
