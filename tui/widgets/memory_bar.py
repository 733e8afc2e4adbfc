"""A device's memory as one line of letters: what others hold, the plan by category, what stays free.

Pure and without textual, so that the command line draws the same bar.
"""

from __future__ import annotations

from core.memory.figure import by_category
from core.memory.plan import Placed, Plan
from tui.widgets.numbers import gib
from tui.widgets.text import fit

# A letter for every category, so that the bar is read without its colours.
LETTERS = {
    "weights": "W", "quantisation state": "Q", "adapter": "A", "gradients": "G", "optimizer": "O",
    "checkpoints": "C", "activations": "a", "norms": "n", "attention": "t", "adapter activations": "d",
    "block working set": "b", "loss": "L", "logits": "L", "optimizer temporaries": "o", "weight casts": "w",
    "gathered layers": "g", "buckets": "u", "dequantisation": "q", "cuBLAS workspace": "x", "load buffer": "l",
    "KV cache": "K",
}  # fmt: skip
MARKS = {
    "fits": ("✓", "good"),
    "tight": ("!", "name"),
    "does not fit": ("✗", "bad"),
    "unknown": ("?", "muted"),
}
Piece = tuple[str, str]  # text and style class


def stacked(plan: Plan, placed: Placed, cells: int) -> list[Piece]:
    """One device in `cells` cells. `▒` is what others hold, `░` the process beside its tensors, `·` is free."""
    room = placed.room
    needed = plan.peak_allocated_bytes + placed.outside_bytes + room.others
    total = max(room.total or 0, needed, 1)
    inside = max(cells - 2, 1)
    pieces = [("▒", room.others), ("░", placed.outside_bytes)]
    pieces += [(LETTERS.get(name, "?"), size) for name, size in by_category(plan.peak.figures).items()]
    parts: list[Piece] = [("▕", "")]
    used, done = 0, 0
    for number, (letter, size) in enumerate(pieces):
        done += size
        until = round(done * inside / total)
        if until > used:
            parts.append((letter * (until - used), ("", "name", "muted")[number % 3]))
            used = until
    over = room.total is not None and done > room.total
    return [*parts, ("·" * (inside - used), "muted"), ("▶" if over else "▏", "bad" if over else "")]


def side_by_side(plan: Plan, rooms: tuple[Placed, ...], cells: int) -> list[Piece]:
    """All devices on one line: number, bar, mark of the verdict. One device gets the whole line."""
    if len(rooms) == 1:
        return stacked(plan, rooms[0], cells)
    each = cells // len(rooms)
    parts: list[Piece] = []
    for placed in rooms:
        number = placed.room.label.rpartition(" ")[2]
        mark, style = MARKS[placed.verdict]
        bar = stacked(plan, placed, max(each - len(number) - 2, 4))
        parts += [(number, "muted"), *bar, (mark, style), (" ", "")]
    return parts


def in_lines(plan: Plan, rooms: tuple[Placed, ...], cells: int, height: int) -> list[list[Piece]]:
    """Every device with its bar and its numbers: on two lines, or on one where `height` is too small for that."""
    form = _in_two if 2 * len(rooms) <= height else _in_one
    return [line for placed in rooms for line in form(plan, placed, cells)]


def _in_two(plan: Plan, placed: Placed, cells: int) -> list[list[Piece]]:
    room, needed = placed.room, plan.peak_allocated_bytes + placed.outside_bytes
    mark, style = MARKS[placed.verdict]
    label = _label(plan, placed) or room.name
    words = f" {label}: {gib(room.others)} others + {gib(needed)} of {gib(room.total)}"
    if room.name and label != room.name:
        words += f", {room.name}"
    verdict = f" {mark} {placed.verdict}"
    head = [(fit(words, max(cells - len(verdict), 10)), ""), (verdict, style)]
    return [head, [(" ", ""), *stacked(plan, placed, cells - 1)]]


def _in_one(plan: Plan, placed: Placed, cells: int) -> list[list[Piece]]:
    needed = plan.peak_allocated_bytes + placed.outside_bytes
    mark, style = MARKS[placed.verdict]
    label, words = f" {_label(plan, placed)} ", f" {gib(needed)} of {gib(placed.room.available)} {mark}"
    bar = stacked(plan, placed, max(cells - len(label) - 24, 6))
    return [[(label, ""), *bar, (f"{words:<24}", style)]]


def _label(plan: Plan, placed: Placed) -> str:
    ranks = plan.setting.ranks
    return placed.room.label or (f"each of {ranks}" if ranks > 1 else "")
