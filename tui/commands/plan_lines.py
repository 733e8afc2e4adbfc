"""What `tunedeck plan` and `tunedeck gpus` print: pure functions from values to lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from core.memory.calibration import Learnt
from core.memory.cards import BASIS, Card
from core.memory.comparison import Comparison
from core.memory.devices import Device
from core.memory.figure import GIB, by_category, in_gib
from core.memory.fit import Case, Lever, combined
from core.memory.pace import Pace
from core.memory.plan import Placed, Plan
from core.memory.tables import Rent
from core.recipe import Recipe
from core.runs.evidence import Evidence
from tui.widgets import memory_bar
from tui.widgets.text import wrap


def plan_lines(plan: Plan, placed: tuple[Placed, ...] = (), *, figures: bool = False) -> list[str]:
    """The plan in words: verdict, a table of categories by phase, notes; with `figures` the sums of the peak."""
    room = plan.room
    available = "unknown" if room.available is None else in_gib(room.available)
    lines = [
        f"{plan.verdict}: peak {in_gib(plan.peak_allocated_bytes)} in phase {plan.peak.name} ({plan.peak.what})",
        f"beside it {in_gib(plan.outside_bytes)} outside the allocator; free on {room.name or room.device}: {available}",
    ]
    if plan.margin_bytes is not None:
        word = "left over" if plan.margin_bytes >= 0 else "too much"
        lines.append(f"{in_gib(abs(plan.margin_bytes))} {word} by the fit rule")
    lines += ["", *bar_lines(plan, placed), *table_lines(plan), ""]
    if figures:
        lines += [
            f"{in_gib(item.bytes):>11}  {item.category:<22}{item.formula}"
            for item in plan.peak.figures
            if item.bytes
        ]
        lines.append("")
    if room.device == "cuda":
        low, high = plan.nvidia_smi_bytes
        band = f"{in_gib(low)} to {in_gib(high)}" if low < high else f"all of {in_gib(high)}"
        lines.append(f"nvidia-smi will show {band}; that reading decides nothing")
    return [*lines, *(f"note: {note}" for note in plan.notes)]


def bar_lines(plan: Plan, placed: tuple[Placed, ...], cells: int = 79) -> list[str]:
    """One stacked bar per device of the run, with the letters that are in it."""
    if not placed or all(one.room.available is None for one in placed):
        return []
    lines = [
        "".join(text for text, _style in line).rstrip()
        for line in memory_bar.in_lines(plan, placed, cells, 2 * len(placed))
    ]
    letters = "  ".join(
        f"{memory_bar.LETTERS.get(name, '?')} {name}" for name in by_category(plan.peak.figures)
    )
    return [*lines, *wrap(f"▒ others  ░ outside the allocator  {letters}  · free", cells), ""]


def rent_lines(
    methods: dict[str, dict[str, Plan | None]], rents: Sequence[Rent], table: Sequence[Card]
) -> list[str]:
    """Methods and models on every GPU type, empty: + fits, ! tight, x does not fit, - cannot be."""
    signs = {"fits": "+", "tight": "!", "does not fit": "x", "unknown": "?"}
    lines = [f"{'GPU, empty':<17}{'GiB':>7}{'$/h':>8}" + "".join(f"{name:>12}" for name in methods)]
    for card in table:
        marks = (methods[name][card.name] for name in methods)
        cells = "".join(f"{'-' if one is None else signs[one.verdict]:>12}" for one in marks)
        price = f"{card.price:.2f}{'*' if card.own_price else ' '}"
        lines.append(f"{card.name:<17}{card.gib:>7.1f}{price:>8}{cells}")
    lines += ["", f"{'model, this recipe':<40}{'peak':>11}  {'cheapest GPU that fits':<24}{'$/h':>6}"]
    for rent in rents:
        peak = "-" if rent.peak_allocated_bytes is None else in_gib(rent.peak_allocated_bytes)
        best = rent.cheapest
        words = rent.why or ("none of these" if best is None else best.name)
        price = "" if best is None else f"{best.price:.2f}"
        lines.append(f"{_ending(rent.name):<40}{peak:>11}  {words:<24}{price:>6}")
    return [*lines, "", "+ fits  ! tight  x does not fit  - cannot be  * your own price", f"note: {BASIS}"]


def _ending(name: str, cells: int = 39) -> str:
    """A path too long for its column by its end, which tells models apart."""
    return name if len(name) <= cells else "…" + name[-cells + 1 :]


def table_lines(plan: Plan) -> list[str]:
    """Categories by phase in GiB, 78 columns; the largest phase is marked."""
    sums = [by_category(phase.figures) for phase in plan.phases]
    names = list(dict.fromkeys(name for one in sums for name in one))
    head = "".join(f"{phase.name + ('*' if phase is plan.peak else ''):>9}" for phase in plan.phases)
    rows = [
        f"{name:<22}" + "".join(f"{one[name] / GIB:>9.3f}" if name in one else f"{'':>9}" for one in sums)
        for name in names
    ]
    total = "".join(f"{phase.bytes / GIB:>9.3f}" for phase in plan.phases)
    return [f"{'GiB':<22}{head}", *rows, f"{'sum (* is the peak)':<22}{total}"]


def trace_lines(traced: dict[str, Any] | None, plan: Plan) -> list[str]:
    if traced is None:
        return []
    compared = Comparison(traced["peak_allocated_bytes"], plan.peak_allocated_bytes)
    return [
        "",
        compared.words,
        *([f"  {compared.advice}"] if compared.advice else []),
        f"dry run: peak {in_gib(traced['peak_allocated_bytes'])} in phase {traced['peak_phase']} "
        f"at {traced['modules'][traced['peak_phase']]}, {traced['seconds']} s",
        *(f"  stands in: {one}" for one in traced["corrections"]),
    ]


def lever_lines(found: tuple[Lever, ...]) -> list[str]:
    if not found:
        return []
    return ["", "what would lower it, cheapest first:"] + [
        f"  {'-' + in_gib(one.saving_bytes):>11}  {one.verdict:<13} {one.name} (costs {one.price})"
        for one in found
    ]


def together_lines(recipe: Recipe, subject: Case) -> list[str]:
    """Levers that make it fit together, or that none do."""
    taken, changed = combined(recipe, subject)
    if subject.plan(changed).verdict != "fits":
        return ["", "no combination of these makes it fit here"]
    sets = " ".join(
        f"--set {key}={json.dumps(value)}" for lever in taken for key, value in lever.changes.items()
    )
    return ["", f"together they fit: {'; '.join(lever.name for lever in taken)}", f"  {sets}"]


def device_lines(device: Device) -> list[str]:
    """One device in words; what is not available says so."""
    name = f"{device.index}  {device.name}" if device.index is not None else device.name
    state = "lost" if device.lost else "" if device.visible else "hidden by CUDA_VISIBLE_DEVICES"
    memory = f"{_amount(device.used_bytes)} of {_amount(device.total_bytes)} used, {_amount(device.free_bytes)} free"
    parts = [memory, *_readings(device), state]
    lines = [f"{name}: " + ", ".join(part for part in parts if part)]
    lines += [
        f"    {one.pid:>8}  {_amount(one.used_bytes):>11}  {one.name or '(another container)'}"
        for one in device.processes or ()
    ]
    return [*lines, *(f"    {note}" for note in device.notes)]


def _readings(device: Device) -> list[str]:
    found: list[tuple[Any, str]] = [
        (device.utilisation, "{}% busy"),
        (device.temperature, "{} °C"),
        (device.power_watts, "{:.0f} W"),
    ]
    return [form.format(value) for value, form in found if value is not None]


def _amount(value: int | None) -> str:
    return "n/a" if value is None else in_gib(value)


def history_lines(found: tuple[Evidence, ...], learnt: dict[str, Learnt]) -> list[str]:
    """One line per run, plan beside measurement, then what was learnt."""
    if not found:
        return ["no finished run here has both a plan and a measured peak"]
    lines: list[str] = []
    for one in found:
        meter = "allocated" if one.kind == "cuda" else "resident"
        lines.append(
            f"{one.run:<40} planned {in_gib(one.planned_bytes):>10}  {meter} {in_gib(one.measured_bytes):>10}  "
            f"{one.error:+.1%}  {one.device}"
        )
        lines += [
            f"    {row['phase']:<36} planned {in_gib(row['planned_bytes']):>10}  {row['meter']} "
            f"{in_gib(row['measured_bytes']):>10}  {row['error']:+.1%}"
            for row in one.phases
        ]
    return [*lines, *(_learnt_line(one) for one in learnt.values())]


def _learnt_line(one: Learnt) -> str:
    parts = []
    if one.context_bytes:
        parts.append(f"{in_gib(one.context_bytes)} outside the allocator")
    if one.reserve_share is not None:
        parts.append(f"a reserve of {one.reserve_share:.0%} (it moves the expected nvidia-smi reading only)")
    runs = "1 run" if len(one.runs) == 1 else f"{len(one.runs)} runs"
    return f"learnt: {' and '.join(parts)} on {one.device}, from {runs} (tunedeck plan --forget removes it)"


def pace_line(found: Pace) -> str:
    """Steps, tokens, time and cost, and what they rest on."""
    if found.tokens is None or found.steps is None:
        return f"time: {found.rests_on}"
    words = f"time: {found.steps:,} steps, {found.tokens:,} tokens"
    if found.seconds is None:
        return f"{words}; {found.rests_on}"
    low, high = (
        f"{seconds / 3600:.2f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"
        for seconds in found.seconds
    )
    span = low if low == high else f"{low} to {high}"
    cost = "" if found.cost is None else f", {found.cost[0]:.2f} to {found.cost[1]:.2f} dollars"
    return f"{words}, {span}{cost} ({found.rests_on})"
