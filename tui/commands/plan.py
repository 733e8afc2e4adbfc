"""`tunedeck plan` and `tunedeck gpus`: what a run needs in memory, and what is here."""

from __future__ import annotations

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
    from core.memory.fit import Case
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
    history: Annotated[
        bool,
        typer.Option("--history", help="Plan beside measurement for every finished run; learn from them."),
    ] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Remove what was learnt from runs here.")] = False,
    vocabulary: Annotated[
        int | None,
        typer.Option("--vocabulary", metavar="ROWS", help="Plan as if the embedding had this many rows."),
    ] = None,
    rent: Annotated[
        bool,
        typer.Option("--rent", help="What to rent: methods and the models at hand on every GPU type."),
    ] = False,
    figures: Annotated[bool, typer.Option("--figures", help="Print every sum of the peak.")] = False,
    as_json: AsJson = False,
) -> None:
    """What the run needs in memory, by phase and category, and whether it fits. Exit code 3 if it does not.

    Example: tunedeck plan recipe.toml --memory 24GiB
    """
    from core.errors import EXIT_DOES_NOT_FIT
    from core.memory.comparison import Comparison
    from core.memory.fit import case, levers
    from core.runs.evidence import earlier_speed, pace_of
    from core.runs.planned import price
    from tui.commands.plan_lines import lever_lines, pace_line, plan_lines, together_lines, trace_lines

    if forget:
        from core.memory.calibration import forget as remove

        say("removed what was learnt from runs" if remove() else "nothing was learnt yet")
        return
    if history:
        _print_history(workspace_of(ctx), as_json)
        return
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
    priced = price(chosen, workspace_of(ctx), _room(gpu, memory), vocabulary=vocabulary)
    without_data = f"planned without data: {priced.data_problem}" if priced.data_problem else ""
    if without_data:
        from tui.widgets.text import visible

        say(f"note: {visible(without_data)}")
    subject = case(priced.architecture, priced.lengths, priced.plan.room)
    if solve:
        answer = _solved(chosen, subject, solve)
        print_json(answer) if as_json else typer.echo(answer["words"])
        return
    if rent:
        _print_rent(chosen, subject, workspace_of(ctx), as_json)
        return
    found = levers(chosen, subject)
    traced = _traced(chosen, priced, workspace_of(ctx), vocabulary) if trace else None
    speed = earlier_speed(workspace_of(ctx), chosen, priced.plan.room.name)
    found_pace = pace_of(chosen, priced.architecture, priced.plan, priced.lengths, speed)
    if as_json:
        document = priced.plan.to_json() | {
            "devices": [one.to_json() for one in priced.placed],
            "pace": found_pace.to_json(),
            "levers": [lever.to_json() for lever in found],
        }
        document["notes"] += [without_data] if without_data else []
        if traced is not None:
            compared = Comparison(traced["peak_allocated_bytes"], priced.plan.peak_allocated_bytes)
            document |= {"trace": traced, "comparison": compared.to_json()}
        print_json(document)
    else:
        lines = [
            *plan_lines(priced.plan, priced.placed, figures=figures),
            pace_line(found_pace),
            *trace_lines(traced, priced.plan),
        ]
        if priced.plan.verdict in ("tight", "does not fit"):
            lines += [*lever_lines(found), *together_lines(chosen, subject)]
        for line in lines:
            typer.echo(line)
    if priced.plan.verdict == "does not fit":
        raise typer.Exit(EXIT_DOES_NOT_FIT)


def _print_rent(recipe: Recipe, subject: Case, workspace: Workspace, as_json: bool) -> None:
    from core.memory.cards import cards
    from core.memory.tables import by_method_and_card, by_model_and_card
    from core.runs.planned import models_at_hand
    from tui.commands.plan_lines import rent_lines

    methods = by_method_and_card(recipe, subject)
    rents = by_model_and_card(recipe, models_at_hand(recipe, workspace), subject.lengths)
    if not as_json:
        for line in rent_lines(methods, rents, cards()):
            typer.echo(line)
        return
    verdicts = {
        name: {card: None if one is None else one.verdict for card, one in row.items()}
        for name, row in methods.items()
    }
    print_json(
        {
            "cards": [card.to_json() for card in cards()], "methods": verdicts,
            "models": [one.to_json() for one in rents],
        }
    )  # fmt: skip


def _print_history(workspace: Workspace, as_json: bool) -> None:
    from core.memory.calibration import learn
    from core.runs.evidence import history as finished
    from tui.commands.plan_lines import history_lines

    found = finished(workspace)
    learnt = learn(one.taught for one in found)
    if as_json:
        known = {one.device: one.to_json() for one in learnt.values()}
        print_json({"runs": [one.to_json() for one in found], "learnt": known})
        return
    for line in history_lines(found, learnt):
        typer.echo(line)


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


def _traced(recipe: Recipe, priced: Priced, workspace: Workspace, vocabulary: int | None) -> dict[str, Any]:
    """The dry run, in a process of its own."""
    from core.models.sources import locate
    from core.workshop import Workshop

    say("running one training step dry ...")
    workshop = Workshop()
    try:
        folder = locate(recipe.model.source, recipe.model.revision, workspace).folder
        job = workshop.submit(
            "core.train.dry_run:dry_run", recipe=recipe, model_folder=folder, lengths=priced.lengths,
            device=priced.plan.room.device, vocabulary=vocabulary,
        )  # fmt: skip
        traced: dict[str, Any] = workshop.wait(job)
        return traced
    finally:
        workshop.cancel()


def gpus(
    types: Annotated[
        bool, typer.Option("--types", help="The GPU types that plans know, with memory and price per hour.")
    ] = False,
    price: Annotated[
        str | None,
        typer.Option(
            "--price", metavar="NAME=DOLLARS", help='Keep your own price: "H100 80GB=2.49"; "H100=" drops it.'
        ),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Read again every second until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """GPUs and host memory as they are now.

    Example: tunedeck gpus --watch
    """
    from core.memory.devices import read_devices
    from core.memory.nvml import Nvml
    from tui.commands.plan_lines import device_lines

    if price is not None:
        _keep_price(price)
    if types or price is not None:
        _print_types(as_json)
        return
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


def _keep_price(text: str) -> None:
    from core.errors import UsageError
    from core.memory.cards import set_price

    name, equals, amount = text.rpartition("=")
    try:
        value = float(amount.strip().removeprefix("$")) if amount.strip() else None
    except ValueError:
        equals = ""
    if not equals:
        raise UsageError(f"{text!r} is no price", where="--price", fix='write --price "H100 80GB=2.49"')
    set_price(name, value)


def _print_types(as_json: bool) -> None:
    from core.memory.cards import BASIS, cards, prices_file

    if as_json:
        print_json([card.to_json() for card in cards()])
        return
    for card in cards():
        own = "  (your price)" if card.own_price else ""
        typer.echo(
            f"{card.name:<17}{card.gib:>7.1f} GiB {card.tflops:>6.0f} TFLOPS {card.price:>7.2f} $/h{own}"
        )
    say(f"{BASIS}; your own prices are kept in {prices_file()}")


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
