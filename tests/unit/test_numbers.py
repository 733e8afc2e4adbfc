"""Numbers on screen."""

from __future__ import annotations

import math

import pytest

from tui.widgets.numbers import count, duration, figure, gib, share


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (2.3456, "2.346"),
        (0.0123456, "0.01235"),
        (2e-4, "2.00e-4"),
        (1234.5, "1234"),
        (123456.0, "1.23e5"),
        (math.nan, "NaN"),
        (-math.inf, "-∞"),
        (None, "–"),
        (True, "–"),
        (-0.5, "-0.5000"),
    ],
)
def test_figures(value: object, shown: str) -> None:
    assert figure(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0s"),
        (59.4, "59s"),
        (252, "4m 12s"),
        (11_100, "3h 05m"),
        (187_200, "2d 4h"),
        (-1, "–"),
        (math.inf, "–"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_counts_bytes_and_shares() -> None:
    assert [count(n) for n in (7, 999, 1234, 3.4e6, 7e9)] == ["7", "999", "1.23k", "3.4M", "7G"]
    assert (gib(12.34 * 2**30), gib(5 * 2**20), gib(None)) == ("12.3 GiB", "5 MiB", "–")
    assert (share(1, 3), share(1, 0), share(3, 2)) == ("33%", "–", "150%")
