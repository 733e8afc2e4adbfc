"""The plan as lines of parts: pure functions from a plan to what the panel draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.memory.devices import Device
from core.memory.figure import GIB, by_category, in_gib
from core.memory.fit import Lever
from core.memory.pace import Pace
from core.memory.plan import Plan
from tui.widgets.bars import Part
from tui.widgets.numbers import count, duration, gib
from tui.widgets.text import fit, wrap

# A letter for every category, so that the bar is read without its colours.
LETTERS = {
    "weights": "W", "quantisation state": "Q", "adapter": "A", "gradients": "G", "optimizer": "O",
    "checkpoints": "C", "activations": "a", "norms": "n", "attention": "t", "adapter activations": "d",
    "block working set": "b", "loss": "L", "logits": "L", "optimizer temporaries": "o", "weight casts": "w",
    "gathered layers": "g", "buckets": "u", "dequantisation": "q", "cuBLAS workspace": "x", "load buffer": "l",
}  # fmt: skip
MARKS = {
    "fits": ("✓", "good"),
    "tight": ("!", "name"),
    "does not fit": ("✗", "bad"),
    "unknown": ("?", "muted"),
}
SHORT = {"end_bwd": "end"}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the view and what enter does on it: "lever 2", "open weights", or nothing."""

    parts: tuple[Part, ...]
    does: str = ""


def headline(plan: Plan) -> list[Part]:
    """Verdict, peak, phase, room."""
    mark, style = MARKS[plan.verdict]
    room = plan.room
    parts = [
        Part(f" {mark} {plan.verdict} ", style),
        Part(f" peak {gib(plan.peak_allocated_bytes)} in {plan.peak.name}"),
        Part("  memory unknown" if room.available is None else f"  {gib(room.available)} free"),
    ]
    if plan.margin_bytes is not None:
        word = "spare" if plan.margin_bytes >= 0 else "too much"
        parts.append(Part(f"  {gib(abs(plan.margin_bytes))} {word}", style))
    return [*parts, Part(f"  {room.name or room.device}", "muted")]


def stacked(plan: Plan, cells: int) -> list[Part]:
    """The device as one line: what others hold, the plan by category, free room; its letters are in the legend."""
    room = plan.room
    total = max(room.total or 0, plan.peak_allocated_bytes + plan.outside_bytes + room.others, 1)
    inside = max(cells - 2, 10)
    pieces = [("others", "▒", room.others), ("outside", "░", plan.outside_bytes)]
    pieces += [(name, LETTERS.get(name, "?"), size) for name, size in by_category(plan.peak.figures).items()]
    parts, used, done = [Part("▕")], 0, 0
    for number, (_name, letter, size) in enumerate(pieces):
        done += size
        until = round(done * inside / total)
        if until > used:
            parts.append(Part(letter * (until - used), ("", "name", "muted")[number % 3]))
            used = until
    over = room.total is not None and done > room.total
    parts.append(Part("·" * (inside - used), "muted"))
    parts.append(Part("▶" if over else "▏", "bad" if over else ""))
    return parts


def legend(plan: Plan, cells: int) -> list[Part]:
    """The letters that are in the bar, largest first, as far as they fit."""
    parts: list[Part] = [Part(f" ░ outside {gib(plan.outside_bytes)}", "muted")]
    if plan.room.others:
        parts.append(Part(f" ▒ others {gib(plan.room.others)}", "muted"))
    left = cells - sum(len(part.text) for part in parts)
    for name, size in sorted(by_category(plan.peak.figures).items(), key=lambda one: -one[1]):
        text = f"  {LETTERS.get(name, '?')} {name} {gib(size)}"
        if len(text) <= left:
            parts.append(Part(text))
            left -= len(text)
    return parts


def table(plan: Plan, cells: int) -> list[Line]:
    """Categories by phase in GiB. Enter on a category opens its sums."""
    wide = 9 if cells >= 22 + 6 * 9 else 6
    name_cells = cells - 6 * wide - 1
    sums = [by_category(phase.figures) for phase in plan.phases]
    head = [Part(fit(" GiB", name_cells), "muted")]
    for phase in plan.phases:
        peak = phase is plan.peak
        name = phase.name if wide > 6 else SHORT.get(phase.name, phase.name)
        head.append(Part(f"{('*' if peak else '') + name:>{wide}}", "name" if peak else "muted"))
    lines = [Line(tuple(head))]
    names = sorted(
        dict.fromkeys(name for one in sums for name in one),
        key=lambda name: -max(one.get(name, 0) for one in sums),
    )
    for name in names:
        parts = [Part(fit(f" {LETTERS.get(name, '?')} {name}", name_cells))]
        parts += [
            _cell(one.get(name), wide, "name" if phase is plan.peak else "")
            for one, phase in zip(sums, plan.phases, strict=True)
        ]
        lines.append(Line(tuple(parts), f"open {name}"))
    total = [Part(fit(" sum", name_cells), "muted")]
    total += [_cell(phase.bytes, wide, "name" if phase is plan.peak else "muted") for phase in plan.phases]
    return [
        *lines,
        Line(tuple(total)),
        *(Line((Part(f" {piece}", "muted"),)) for piece in wrap(f"* the peak: {plan.peak.what}", cells - 2)),
    ]


def _cell(value: int | None, wide: int, style: str) -> Part:
    if value is None:
        return Part(" " * wide)
    size = value / GIB
    text = f"{size:.2f}" if size < 100 else f"{size:.0f}"
    return Part(f"{text:>{wide}}", style)


def figures(plan: Plan, cells: int, category: str = "") -> list[Line]:
    """Every sum of the peak phase with its numbers and its source; of one category in all phases."""
    lines: list[Line] = []
    phases = (
        [plan.peak]
        if not category
        else [phase for phase in plan.phases if category in by_category(phase.figures)]
    )
    seen = set()
    for phase in phases:
        for item in phase.figures:
            key = (item.category, item.bytes, item.formula)
            if not item.bytes or key in seen or (category and item.category != category):
                continue
            seen.add(key)
            lines.append(
                Line(
                    (
                        Part(f" {in_gib(item.bytes):>10} ", "name"),
                        Part(item.category),
                        Part(f"  {phase.name}", "muted"),
                    )
                )
            )
            lines += [Line((Part(f"   {piece}"),)) for piece in wrap(item.formula, cells - 4)]
            if item.source:
                lines += [Line((Part(f"   {piece}", "muted"),)) for piece in wrap(item.source, cells - 4)]
    return lines


def levers(found: Sequence[Lever], together: Sequence[Lever], cells: int, verdict: str) -> list[Line]:
    """What would lower the peak, cheapest first; enter applies one."""
    if not found:
        return [Line((Part(" nothing here would lower the peak", "muted"),))]
    lines = [Line((Part(fit(" saves     verdict       change", cells), "muted"),))]
    for number, lever in enumerate(found):
        mark, style = MARKS[lever.verdict]
        name = fit(lever.name, cells - 27)
        parts = (
            Part(f" {gib(lever.saving_bytes):>8}  "),
            Part(f"{mark} {lever.verdict:<12}", style),
            Part(f" {name}"),
        )
        lines.append(Line(parts, f"lever {number}"))
        lines.append(Line((Part(fit(f"{'':>11}costs {lever.price}", cells), "muted"),), f"lever {number}"))
    if verdict in ("fits", "unknown"):
        return lines
    if together and together[-1].verdict == "fits":
        words = "; ".join(lever.name for lever in together)
        lines += [
            Line((Part(f" {piece}", "good"),), "together")
            for piece in wrap(f"A together it fits: {words}", cells - 2)
        ]
    else:
        lines.append(Line((Part(" no combination of these makes it fit here", "bad"),)))
    return lines


def matrix(plans: dict[str, dict[str, Plan | None]], cells: int, title: str) -> list[Line]:
    """Peaks in GiB with a mark for the verdict; `-` where a recipe cannot be."""
    columns = list(next(iter(plans.values()), {}))
    wide = max(min((cells - 11) // max(len(columns), 1), 10), 6)
    shown = columns[: (cells - 11) // wide]
    lines = [Line((Part(fit(f" {title}", cells), "muted"),))]
    lines.append(Line((Part(" " * 11), *(Part(f"{name:>{wide}}"[-wide:], "muted") for name in shown))))
    for method, row in plans.items():
        parts = [Part(fit(f" {method}", 11))]
        for name in shown:
            plan = row[name]
            if plan is None:
                parts.append(Part(f"{'-':>{wide}}", "muted"))
                continue
            mark, style = MARKS[plan.verdict]
            size = plan.peak_allocated_bytes / GIB
            parts.append(Part(f"{size:>{wide - 1}.{0 if size >= 100 else 1}f}{mark}", style))
        lines.append(Line(tuple(parts)))
    return lines


def by_card(plans: dict[str, dict[str, Plan | None]], prices: dict[str, float], cells: int) -> list[Line]:
    """Methods on every GPU type, empty: one line per card, with its price per hour."""
    methods = list(plans)
    lines = [
        Line(
            (
                Part(fit(" GPU, empty", 17) + fit("$/h", 6), "muted"),
                *(Part(f"{name.split()[-1]:>6}", "muted") for name in methods),
            )
        )
    ]
    for card, price in prices.items():
        parts = [Part(fit(f" {card}", 17)), Part(fit(f"{price:.2f}", 6), "muted")]
        for method in methods:
            plan = plans[method][card]
            mark, style = MARKS[plan.verdict] if plan is not None else ("-", "muted")
            parts.append(Part(f"{mark:>6}", style))
        lines.append(Line(tuple(parts)))
    del cells
    return lines


def live(devices: Sequence[Device], age_seconds: float | None) -> str:
    """The readings now: memory used on every GPU, or on the host."""
    shown = [device for device in devices if device.kind == "cuda"] or [
        device for device in devices if device.kind == "host"
    ]
    if not shown:
        return "devices: not read yet" if age_seconds is None else "devices: none"
    words = []
    for device in shown[:4]:
        name = f"GPU {device.index}" if device.index is not None else "host"
        words.append(
            f"{name} lost" if device.lost else f"{name} {gib(device.used_bytes)} of {gib(device.total_bytes)}"
        )
    more = f" and {len(shown) - 4} more" if len(shown) > 4 else ""
    old = f" ({duration(age_seconds)} ago)" if age_seconds is not None and age_seconds > 5 else ""
    return "now " + ", ".join(words) + more + old


def time_and_cost(pace: Pace) -> str:
    """Steps, tokens, time and cost, and what they rest on."""
    if pace.tokens is None:
        return pace.rests_on
    words = f"{pace.steps:,} steps, {count(pace.tokens)} tokens"
    if pace.seconds is None:
        return f"{words}; no time: {pace.rests_on}"
    low, high = pace.seconds
    span = duration(low) if low == high else f"{duration(low)} to {duration(high)}"
    cost = "" if pace.cost is None else f", ${pace.cost[0]:.2f} to ${pace.cost[1]:.2f}"
    return f"{words}, {span}{cost} ({pace.rests_on})"
