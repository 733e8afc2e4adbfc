"""Held-out rows: the fraction, the seed, and no prompt on both sides."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from core.data.split import hold_out, prompt_key, row_key
from core.data.types import Conversation, Message


def chat(*turns: tuple[str, str]) -> Conversation:
    return Conversation(0, "messages", tuple(Message(role, content) for role, content in turns))


def test_equal_prompts_have_equal_keys() -> None:
    first = chat(("system", "Be brief."), ("user", "Hi  there"), ("assistant", "Yes."))
    second = chat(("system", "Be brief."), ("user", "hi there"), ("assistant", "No."))
    other = chat(("system", "Be long."), ("user", "Hi there"), ("assistant", "Yes."))
    assert prompt_key(first) == prompt_key(second) != prompt_key(other)
    assert row_key(first) != row_key(second)
    assert prompt_key(Conversation(0, "tokens", input_ids=(1, 2))) != prompt_key(
        Conversation(0, "tokens", input_ids=(1, 3))
    )


def test_the_fraction_is_met_with_single_rows() -> None:
    held = hold_out(np.arange(1000), 0.05, 42)
    assert held.sum() == 50
    assert (held == hold_out(np.arange(1000), 0.05, 42)).all()
    assert (held != hold_out(np.arange(1000), 0.05, 43)).any()


def test_nothing_is_held_out_without_a_fraction_or_a_second_prompt() -> None:
    assert not hold_out(np.arange(10), 0.0, 1).any()
    assert not hold_out(np.zeros(10, dtype=int), 0.5, 1).any()
    assert hold_out(np.array([1, 2]), 0.01, 1).sum() == 1


@given(st.lists(st.integers(0, 12), max_size=80), st.floats(0, 0.99), st.integers(0, 1000))
def test_no_prompt_is_on_both_sides(keys: list[int], fraction: float, seed: int) -> None:
    held = hold_out(np.array(keys, dtype=np.int64), fraction, seed)
    inside = {key for key, is_held in zip(keys, held, strict=True) if is_held}
    outside = {key for key, is_held in zip(keys, held, strict=True) if not is_held}
    assert not inside & outside
    if fraction > 0 and len(set(keys)) > 1:
        assert inside and outside
