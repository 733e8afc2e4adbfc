"""The tables of the Plan panel as lines: lengths, GPU types, models to rent for."""

from __future__ import annotations

from collections.abc import Sequence

from core.memory.cards import BASIS, Card
from core.memory.figure import GIB
from core.memory.plan import Plan
from core.memory.tables import Rent
from tui.plan.shown import Line
from tui.widgets.bars import Part
from tui.widgets.memory_bar import MARKS
from tui.widgets.text import fit, visible, wrap


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


def by_card(plans: dict[str, dict[str, Plan | None]], table: Sequence[Card], cells: int) -> list[Line]:
    """Methods on every GPU type, empty: one line per card, with its price per hour; enter edits the price."""
    methods = list(plans)
    head = fit(" GPU, empty", 17) + fit("GiB", 7) + fit("$/h", 7)
    lines = [Line((Part(head, "muted"), *(Part(f"{name.split()[-1]:>5}", "muted") for name in methods)))]
    for card in table:
        price = f"{card.price:.2f}{'*' if card.own_price else ''}"
        parts = [Part(fit(f" {card.name}", 17)), Part(fit(f"{card.gib:.1f}", 7) + fit(price, 7), "muted")]
        for method in methods:
            plan = plans[method][card.name]
            mark, style = MARKS[plan.verdict] if plan is not None else ("-", "muted")
            parts.append(Part(f"{mark:>5}", style))
        lines.append(Line(tuple(parts), f"price {card.name}"))
    words = f"enter on a card edits its price; * is yours. {BASIS}"
    return [*lines, *(Line((Part(f" {piece}", "muted"),)) for piece in wrap(words, cells - 2))]


def by_model(rents: Sequence[Rent], table: Sequence[Card], cells: int) -> list[Line]:
    """Models at hand with this recipe: peak, the cheapest card that fits, and every card where there is room."""
    wide = max((len(_code(card)) for card in table), default=0) + 1
    shown = list(table) if cells >= 54 + wide * len(table) else []
    head = fit(" model, this recipe", 22) + f"{'GiB':>6} " + fit("cheapest fit", 16) + f"{'$/h':>6}"
    lines = [
        Line((Part(head, "muted"), Part(" "), *(Part(f"{_code(card):>{wide}}", "muted") for card in shown)))
    ]
    for rent in rents:
        peak = rent.peak_allocated_bytes
        size = "-" if peak is None else f"{peak / GIB:.1f}"
        best = rent.cheapest
        words = rent.why or ("none of these" if best is None else best.name)
        parts = [
            Part(fit(f" {visible(rent.name)}", 22)),
            Part(f"{size:>6} "),
            Part(fit(words, 16), "good" if best is not None else "bad"),
            Part(f"{'' if best is None else f'{best.price:.2f}':>6} "),
        ]
        for card in shown:
            plan = rent.plans[card.name]
            mark, style = MARKS[plan.verdict] if plan is not None else ("-", "muted")
            parts.append(Part(f"{mark:>{wide}}", style))
        lines.append(Line(tuple(parts), f"rent {rent.name}"))
    words = "one process per card, card empty; enter on a model lists every card"
    return [*lines, *(Line((Part(f" {piece}", "muted"),)) for piece in wrap(words, cells - 2))]


def on_cards(rent: Rent, table: Sequence[Card], cells: int) -> list[Line]:
    """One model on every card: verdict, peak of the card's memory, price."""
    lines = [Line((Part(fit(f" {visible(rent.name)}, this recipe; v goes on", cells), "muted"),))]
    for card in table:
        plan = rent.plans[card.name]
        mark, style = MARKS[plan.verdict] if plan is not None else ("-", "muted")
        if plan is None:
            words = "no bfloat16 there" if not card.bf16 else "no plan"
        else:
            words = f"{plan.peak_allocated_bytes / GIB:.1f} + {plan.outside_bytes / GIB:.1f} of {card.gib:.1f} GiB"
        lines.append(
            Line(
                (
                    Part(fit(f" {card.name}", 17)),
                    Part(f"{mark} ", style),
                    Part(fit(words, 24)),
                    Part(f"{card.price:>6.2f}"),
                )
            )
        )
    return lines


def _code(card: Card) -> str:
    """A card's name without maker and size: H100, 4090; the size where a name has two."""
    words = card.name.split()
    name = words[0] if words[0] != "RTX" else words[1]
    return name if card.name.split()[0] != "A100" else f"A100-{words[-1].removesuffix('GB')}"
