"""A dry run beside the plan: one line, and a sentence where they are apart."""

from __future__ import annotations

from core.memory.comparison import Comparison

MIB = 1 << 20


def test_the_two_peaks_stand_in_one_line_with_advice_where_they_differ_by_more_than_5_per_cent() -> None:
    apart = Comparison(int(36.5 * MIB), int(17.9 * MIB))
    assert apart.words == "dry run 36.5 MiB, plan 17.9 MiB: +104 %"
    assert apart.advice == "they differ by more than 5 %: count on the larger of the two"
    near = Comparison(103 * MIB, 100 * MIB)
    assert (near.words, near.advice) == ("dry run 0.10 GiB, plan 100.0 MiB: +3 %", "")
    below = Comparison(90 * MIB, 100 * MIB)
    assert below.words == "dry run 90.0 MiB, plan 100.0 MiB: -10 %"
    assert below.advice and below.to_json()["difference"] == -0.1
