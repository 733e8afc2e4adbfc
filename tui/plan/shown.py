"""The plan as lines of parts: pure functions from a plan to what the panel draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.memory.comparison import Comparison
from core.memory.devices import Device
from core.memory.figure import GIB, by_category, in_gib
from core.memory.fit import Lever
from core.memory.pace import Pace
from core.memory.plan import Placed, Plan
from tui.widgets import memory_bar
from tui.widgets.bars import Part
from tui.widgets.memory_bar import LETTERS, MARKS
from tui.widgets.numbers import count, duration, gib
from tui.widgets.text import fit, visible, wrap

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


def stacked(plan: Plan, placed: tuple[Placed, ...], cells: int) -> list[Part]:
    """Every device of the run on one line, see `tui.widgets.memory_bar`."""
    return [Part(text, style) for text, style in memory_bar.side_by_side(plan, placed, cells)]


def devices(plan: Plan, placed: tuple[Placed, ...], cells: int, height: int, note: str) -> list[Line]:
    """Every device of the run: its bar and its numbers."""
    ranks = plan.setting.ranks
    lines = [
        Line(tuple(Part(text, style) for text, style in pieces))
        for pieces in memory_bar.in_lines(plan, placed, cells, height)
    ]
    words = [
        f"every process holds the same: {plan.setting.strategy}, {count_of(ranks, 'process', 'processes')}"
    ]
    if note:
        words.append(note)
    return [
        *lines,
        *(Line((Part(f" {piece}", "muted"),)) for text in words for piece in wrap(text, cells - 2)),
    ]


def count_of(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def no_plan(problem: str, reads: str = "model") -> list[Part]:
    """The headline without a plan: why there is none, or that the model is being read."""
    if problem:
        return [Part(f" no plan: {problem}", "bad")]
    return [Part(f" reading the {reads} ...", "muted")]


def status(view: str, views: Sequence[str], traced: str, note: str) -> list[Part]:
    """The names of the views, and what the dry run says or else a note of the plan."""
    names = [Part(f" {name} ", "current" if name == view else "muted") for name in views]
    return [Part(" "), *names, Part("  " + visible(traced or note), "" if traced else "muted")]


def dry_run(traced: dict[str, Any], plan: Plan) -> str:
    """What a dry run counted, beside the plan."""
    compared = Comparison(traced["peak_allocated_bytes"], plan.peak_allocated_bytes)
    return compared.words + (f"; {compared.advice}" if compared.advice else "")


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
