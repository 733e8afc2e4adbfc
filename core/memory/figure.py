"""One number of a plan with the sum that made it, so that it can be opened on screen."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1 << 30
GB = 10**9


@dataclass(frozen=True, slots=True)
class Figure:
    """`bytes` of one category. `formula` holds the numbers put in, `source` says where the formula is from."""

    category: str
    bytes: int
    formula: str
    source: str = ""


def figure(category: str, value: float, formula: str, source: str = "") -> Figure:
    """A Figure of whole bytes."""
    return Figure(category, round(value), formula, source)


def total(figures: tuple[Figure, ...] | list[Figure]) -> int:
    return sum(item.bytes for item in figures)


def by_category(figures: tuple[Figure, ...] | list[Figure]) -> dict[str, int]:
    """Bytes by category; categories of 0 bytes are left out."""
    sums: dict[str, int] = {}
    for item in figures:
        if item.bytes:
            sums[item.category] = sums.get(item.category, 0) + item.bytes
    return sums


def in_gib(value: int) -> str:
    """`12.34 GiB`; small amounts in MiB."""
    return f"{value / GIB:.2f} GiB" if abs(value) >= GIB // 10 else f"{value / (1 << 20):.1f} MiB"
