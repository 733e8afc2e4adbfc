"""What the view on the right holds, by the name of the view: the lines of a plan, its levers and its tables."""

from __future__ import annotations

from dataclasses import dataclass

from core.memory.cards import cards
from core.memory.fit import Case, Lever
from core.memory.plan import Placed, Plan
from core.memory.tables import Rent, by_method_and_card, by_method_and_length
from core.recipe import Recipe
from tui.plan import shown, tables
from tui.plan.shown import Line

VIEWS = ("phases", "levers", "devices", "lengths", "GPUs", "models", "figures")


@dataclass(frozen=True, slots=True)
class Seen:
    """What all views are drawn from. `opened` is a category, or a model of the table of models."""

    recipe: Recipe
    case: Case
    plan: Plan
    placed: tuple[Placed, ...]
    levers: tuple[Lever, ...]
    together: tuple[Lever, ...]
    rents: tuple[Rent, ...] | None  # None: still being read
    opened: str
    visible_gpus: int


def lines_of(name: str, seen: Seen, cells: int, height: int) -> list[Line]:
    match name:
        case "phases":
            return _phases(seen, cells, height)
        case "levers":
            return _levers(seen, cells)
        case "devices":
            return shown.devices(seen.plan, seen.placed, cells, height, _unused(seen))
        case "lengths":
            table = by_method_and_length(seen.recipe, seen.case)
            named = {
                method: {f"{length:,}": plan for length, plan in row.items()} for method, row in table.items()
            }
            return tables.matrix(named, cells, "peak in GiB by method and max_length, here")
        case "GPUs":
            return tables.by_card(by_method_and_card(seen.recipe, seen.case), cards(), cells)
        case "models":
            return _models(seen, cells)
        case _:
            return shown.figures(seen.plan, cells, seen.opened)


def _levers(seen: Seen, cells: int) -> list[Line]:
    return shown.levers(seen.levers, seen.together, cells, seen.plan.verdict)


def _phases(seen: Seen, cells: int, height: int) -> list[Line]:
    """The table; under it, where there is room, the devices of a run on several, and the levers."""
    lines = shown.table(seen.plan, cells)
    if len(seen.placed) > 1:
        bars = shown.devices(seen.plan, seen.placed, cells, 0, _unused(seen))
        if height >= len(lines) + len(bars) + 1:
            lines += [Line(()), *bars]
    if height >= len(lines) + 8:
        lines += [Line(()), *_levers(seen, cells)]
    return lines


def _unused(seen: Seen) -> str:
    """GPUs beyond the run's processes, or too few of them."""
    ranks, used = seen.recipe.launch.processes, len(seen.placed)
    if seen.plan.room.device == "cpu" or not seen.placed[0].room.label:
        return ""
    if used < ranks:
        return f"launch.processes = {ranks}, but a run sees {shown.count_of(used, 'GPU', 'GPUs')} here"
    rest = seen.visible_gpus - used
    return f"{shown.count_of(rest, 'more GPU is', 'more GPUs are')} not used by this run" if rest > 0 else ""


def _models(seen: Seen, cells: int) -> list[Line]:
    if seen.rents is None:
        return [Line((shown.Part(" reading the models at hand ...", "muted"),))]
    for rent in seen.rents:
        if rent.name == seen.opened:
            return tables.on_cards(rent, cards(), cells)
    return tables.by_model(seen.rents, cards(), cells)
