"""Near prompts: found among many, exact once found, templates and short texts left alone, memory by the row."""

from __future__ import annotations

import random

import numpy as np
import pytest

from core.data.checks.near_prompts import BANDS, NearPrompts, Pair, jaccard, shingles

WORDS = [f"word{number}" for number in range(3000)]


def prompt(seed: int, words: int = 40) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def pairs_of(prompts: list[str], same: list[int] | None = None) -> list[Pair]:
    near = NearPrompts()
    for text in prompts:
        near.add(text)
    groups = np.asarray(same if same is not None else range(len(prompts)), dtype=np.int64)
    return list(near.pairs(prompts.__getitem__, groups))


def test_shingles_are_three_words_in_a_row() -> None:
    assert len(shingles("One two, three four!")) == 2
    assert np.array_equal(shingles("One two, three four!"), shingles("one  TWO three\nfour"))
    assert len(shingles("a b")) == 2 and len(shingles("")) == 0
    assert not np.intersect1d(shingles("one two three"), shingles("three two one")).size


def test_jaccard() -> None:
    assert jaccard("a b c d", "a b c d") == 1
    assert jaccard("a b c d", "a b c e") == pytest.approx(1 / 3)
    assert jaccard("a b c", "d e f") == 0 == jaccard("", "")


def test_one_changed_word_is_found_among_thousands() -> None:
    prompts = [prompt(number) for number in range(3000)]
    changed = prompts[1234].split()
    changed[3] = "otherword"
    found = pairs_of([*prompts, " ".join(changed)])
    assert [(pair.earlier, pair.later) for pair in found] == [(1234, 3000)]
    assert found[0].shared == pytest.approx(35 / 41)  # three of 38 shingles changed on each side


def test_half_changed_is_not_near() -> None:
    words = prompt(7).split()
    assert pairs_of([" ".join(words), " ".join(words[:20] + prompt(8).split()[20:])]) == []


def test_equal_prompts_are_told_elsewhere() -> None:
    assert pairs_of([prompt(1), prompt(1).upper()], same=[5, 5]) == []


def test_a_template_filled_in_is_no_mistake() -> None:
    fixed = prompt(3, 80)
    assert len(pairs_of([f"{fixed} value{number}" for number in range(5)])) == 4
    assert pairs_of([f"{fixed} value{number}" for number in range(40)]) == []


def test_short_prompts_are_never_near() -> None:
    assert pairs_of(["Yes?", "Yes", "", "no"]) == []


def test_a_row_takes_forty_eight_bytes() -> None:
    near = NearPrompts()
    for number in range(100):
        near.add(prompt(number, 400))
    assert len(near._keys) * near._keys.itemsize == 100 * BANDS * 8
