"""`tunedeck plan` and `tunedeck gpus`: what a run needs in memory, and what is here."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tui.commands.options import (
    AsJson,
    Changes,
    DataOption,
    LossOnOption,
    MaxLengthOption,
    ModelOption,
    RecipeFile,
    TemplateOption,
    print_json,
    recipe_from,
    say,
    workspace_of,
)

if TYPE_CHECKING:
    from core.memory.devices import Device
    from core.memory.fit import Case, Lever
    from core.memory.plan import Plan
    from core.memory.verdict import Room
    from core.recipe import Recipe
    from core.runs.planned import Priced
    from core.workspace import Workspace

GpuOption = Annotated[
    str | None, typer.Option("--gpu", metavar="NAME", help='Plan for a GPU by name, for example "H100 80GB".')
]
MemoryOption = Annotated[
    str | None, typer.Option("--memory", metavar="AMOUNT", help="Plan for this much GPU memory: 24GiB, 80GB.")
]


def add_to(app: typer.Typer) -> None:
    app.command("plan")(plan)
    app.command("gpus")(gpus)


def plan(
    ctx: typer.Context,
    recipe: RecipeFile = None,
    changes: Changes = None,
    model: ModelOption = None,
    data: DataOption = None,
    loss_on: LossOnOption = None,
    template: TemplateOption = None,
    max_length: MaxLengthOption = None,
    gpu: GpuOption = None,
    memory: MemoryOption = None,
    solve: Annotated[
        str | None,
        typer.Option(
            "--solve", metavar="FIELD", help="Largest max_length, micro_batch or rank that fits, or gpu."
        ),
    ] = None,
    trace: Annotated[
        bool, typer.Option("--trace", help="Also run the training step dry, without data.")
    ] = False,
    figures: Annotated[bool, typer.Option("--figures", help="Print every sum of the peak.")] = False,
    as_json: AsJson = False,
) -> None:
    """What the run needs in memory, by phase and category, and whether it fits. Exit code 3 if it does not.

    Example: tunedeck plan recipe.toml --memory 24GiB
    """
    from core.errors import EXIT_DOES_NOT_FIT
    from core.runs.planned import price

    chosen = recipe_from(
        ctx,
        recipe,
        changes,
        model=model,
        data=data,
        loss_on=loss_on,
        template=template,
        max_length=max_length,
    )
    from core.memory.fit import case, levers

    priced = price(chosen, workspace_of(ctx), _room(gpu, memory))
    subject = case(priced.architecture, priced.lengths, priced.plan.room)
    if solve:
        answer = _solved(chosen, subject, solve)
        print_json(answer) if as_json else typer.echo(answer["words"])
        return
    found = levers(chosen, subject)
    traced = _traced(chosen, priced, workspace_of(ctx)) if trace else None
    if as_json:
        document = priced.plan.to_json() | {"levers": [lever.to_json() for lever in found]}
        print_json(document | {"trace": traced} if traced is not None else document)
    else:
        lines = [*plan_lines(priced.plan, figures=figures), *_trace_lines(traced)]
        if priced.plan.verdict in ("tight", "does not fit"):
            lines += [*_lever_lines(found), *_together_lines(chosen, subject)]
        for line in lines:
            typer.echo(line)
    if priced.plan.verdict == "does not fit":
        raise typer.Exit(EXIT_DOES_NOT_FIT)


def _solved(recipe: Recipe, subject: Case, field: str) -> dict[str, Any]:
    """The answer to --solve: value and words. Exit code 3 where nothing fits."""
    from core.errors import EXIT_DOES_NOT_FIT, TunedeckError
    from core.memory.fit import largest, smallest_card

    if field == "gpu":
        card = smallest_card(recipe, subject)
        if card is None:
            raise TunedeckError("no GPU of the table fits this run", exit_code=EXIT_DOES_NOT_FIT)
        words = f"{card.name}, about {card.price:.2f} dollars an hour"
        return {"field": field, "value": card.name, "price_per_hour": card.price, "words": words}
    value = largest(recipe, subject, field)
    if value is None:
        raise TunedeckError(f"not even {field} = 1 fits", exit_code=EXIT_DOES_NOT_FIT)
    return {"field": field, "value": value, "words": f"{field} = {value:,} is the largest that fits"}


def _traced(recipe: Recipe, priced: Priced, workspace: Workspace) -> dict[str, Any]:
    """The dry run, in a process of its own."""
    from core.models.sources import locate
    from core.workshop import Workshop

    say("running one training step dry ...")
    workshop = Workshop()
    try:
        folder = locate(recipe.model.source, recipe.model.revision, workspace).folder
        job = workshop.submit(
            "core.train.dry_run:dry_run", recipe=recipe, model_folder=folder, lengths=priced.lengths,
            device=priced.plan.room.device,
        )  # fmt: skip
        traced: dict[str, Any] = workshop.wait(job)
        return traced
    finally:
        workshop.cancel()


def _trace_lines(traced: dict[str, Any] | None) -> list[str]:
    from core.memory.figure import in_gib

    if traced is None:
        return []
    return [
        "",
        f"dry run: peak {in_gib(traced['peak_allocated_bytes'])} in phase {traced['peak_phase']} "
        f"at {traced['modules'][traced['peak_phase']]}, {traced['seconds']} s",
        *(f"  stands in: {one}" for one in traced["corrections"]),
    ]


def _lever_lines(found: tuple[Lever, ...]) -> list[str]:
    from core.memory.figure import in_gib

    if not found:
        return []
    return ["", "what would lower it, cheapest first:"] + [
        f"  -{in_gib(one.saving_bytes):>10}  {one.verdict:<13} {one.name} (costs {one.price})"
        for one in found
    ]


def _together_lines(recipe: Recipe, subject: Case) -> list[str]:
    """Levers that make it fit together, or that none do."""
    from core.memory.fit import combined

    taken, changed = combined(recipe, subject)
    if subject.plan(changed).verdict != "fits":
        return ["", "no combination of these makes it fit here"]
    sets = " ".join(
        f"--set {key}={json.dumps(value)}" for lever in taken for key, value in lever.changes.items()
    )
    return ["", f"together they fit: {'; '.join(lever.name for lever in taken)}", f"  {sets}"]


def gpus(
    watch: Annotated[bool, typer.Option("--watch", help="Read again every second until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """GPUs and host memory as they are now.

    Example: tunedeck gpus --watch
    """
    from core.memory.devices import read_devices
    from core.memory.nvml import Nvml

    library = Nvml()
    while True:
        devices = read_devices(library)
        if as_json:
            print_json([device.to_json() for device in devices])
        else:
            for device in devices:
                for line in device_lines(device):
                    typer.echo(line)
        if not watch:
            return
        time.sleep(1.0)
        say("")


def _room(gpu: str | None, memory: str | None) -> Room | None:
    from core.errors import UsageError
    from core.memory.cards import card_named
    from core.memory.verdict import Room, read_amount

    if gpu and memory:
        raise UsageError("--gpu and --memory name two sizes", fix="give one of them")
    if gpu:
        card = card_named(gpu)
        return Room("cuda", card.name, card.bytes, card.bytes)
    if memory:
        amount = read_amount(memory, where="--memory")
        return Room("cuda", memory, amount, amount)
    return None


def plan_lines(plan: Plan, *, figures: bool = False) -> list[str]:
    """The plan in words: verdict, a table of categories by phase, notes; with `figures` the sums of the peak."""
    from core.memory.figure import in_gib

    room = plan.room
    available = "unknown" if room.available is None else in_gib(room.available)
    lines = [
        f"{plan.verdict}: peak {in_gib(plan.peak_allocated_bytes)} in phase {plan.peak.name} ({plan.peak.what})",
        f"beside it {in_gib(plan.outside_bytes)} outside the allocator; free on {room.name or room.device}: {available}",
    ]
    if plan.margin_bytes is not None:
        word = "left over" if plan.margin_bytes >= 0 else "too much"
        lines.append(f"{in_gib(abs(plan.margin_bytes))} {word} by the fit rule")
    lines += ["", *table_lines(plan), ""]
    if figures:
        lines += [
            f"{in_gib(item.bytes):>11}  {item.category:<22}{item.formula}"
            for item in plan.peak.figures
            if item.bytes
        ]
        lines.append("")
    if room.device == "cuda":
        low, high = plan.nvidia_smi_bytes
        lines.append(f"nvidia-smi will show {in_gib(low)} to {in_gib(high)}; that reading decides nothing")
    return [*lines, *(f"note: {note}" for note in plan.notes)]


def table_lines(plan: Plan) -> list[str]:
    """Categories by phase in GiB, 78 columns; the largest phase is marked."""
    from core.memory.figure import GIB, by_category

    sums = [by_category(phase.figures) for phase in plan.phases]
    names = list(dict.fromkeys(name for one in sums for name in one))
    head = "".join(f"{phase.name + ('*' if phase is plan.peak else ''):>9}" for phase in plan.phases)
    rows = [
        f"{name:<22}" + "".join(f"{one[name] / GIB:>9.3f}" if name in one else f"{'':>9}" for one in sums)
        for name in names
    ]
    total = "".join(f"{phase.bytes / GIB:>9.3f}" for phase in plan.phases)
    return [f"{'GiB':<22}{head}", *rows, f"{'sum (* is the peak)':<22}{total}"]


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
    from core.memory.figure import in_gib

    return "n/a" if value is None else in_gib(value)
