"""`tunedeck models [QUERY] | show | targets`: what is at hand, what a model is, what a tuner would train."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from tui.commands.options import AsJson, print_json, say, workspace_of

if TYPE_CHECKING:
    from core.models.listing import ModelEntry
    from core.models.targets import Trainable
    from core.recipe import TunerSection

ModelId = Annotated[str, typer.Argument(metavar="ID", help='"demo", a folder, a config.json, or a Hub id.')]
Revision = Annotated[str, typer.Option("--revision", help="Branch, tag or commit on the Hub.")]


class ListByDefault(TyperGroup):
    """`tunedeck models llama` lists; only a command's own name is a command."""

    def parse_args(self, ctx, args):  # type: ignore[no-untyped-def]
        if not args or (args[0] not in self.commands and args[0] not in ("--help", "-h")):
            args = ["list", *args]
        return super().parse_args(ctx, args)


group = typer.Typer(
    cls=ListByDefault,
    rich_markup_mode=None,
    help="Models at hand and on the Hub. Without a command: a list, narrowed by the words that follow.",
)


def add_to(app: typer.Typer) -> None:
    group.command("list")(list_models)
    group.command("show")(show)
    group.command("targets")(targets)
    app.add_typer(group, name="models")


def list_models(
    ctx: typer.Context,
    query: Annotated[
        list[str] | None, typer.Argument(metavar="QUERY", help="Words a name must hold.")
    ] = None,
    source: Annotated[str, typer.Option("--source", help="all, demo, folder, run or cache.")] = "all",
    folder: Annotated[
        list[Path] | None, typer.Option("--folder", help="Look for models here too; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List models.

    Example: tunedeck models llama --source cache
    """
    from core.errors import UsageError
    from core.models.listing import local_models, search_entries

    if source not in ("all", "demo", "folder", "run", "cache"):
        raise UsageError(f"{source} is not a source of models", fix="use all, demo, folder, run or cache")
    found = search_entries(local_models(workspace_of(ctx), tuple(folder or ())), " ".join(query or ()))
    found = [one for one in found if source in ("all", one.source)]
    if as_json:
        print_json([one.to_json() for one in found])
    elif found:
        typer.echo("\n".join(_table(found)))
    else:
        say("nothing found here")


def show(ctx: typer.Context, model: ModelId, revision: Revision = "main", as_json: AsJson = False) -> None:
    """What a model is: its parts, attention, context, tokenizer, template, licence, and what to know.

    Example: tunedeck models show demo
    """
    from core.models.card import card_json, read_card
    from core.models.sources import locate
    from tui.model.card_lines import card_lines

    card = read_card(locate(model, revision, workspace_of(ctx)))
    if as_json:
        print_json(card_json(card))
        return
    typer.echo(f"{card.id}  {card.revision[:12]}".rstrip())
    for label, value in card_lines(card):
        typer.echo(f"{label:>12}  {value}")


def targets(
    ctx: typer.Context,
    model: ModelId,
    rank: Annotated[int, typer.Option("--rank", help="LoRA rank.")] = 16,
    names: Annotated[
        str, typer.Option("--targets", metavar="TARGETS", help='all-linear, "q_proj,v_proj", or "re:REGEX".')
    ] = "all-linear",
    method: Annotated[
        str, typer.Option("--method", help="lora, rslora, dora, ia3, prompt, prefix, freeze, full.")
    ] = "lora",
    save: Annotated[
        list[str] | None, typer.Option("--save", help="A module trained and saved whole; repeatable.")
    ] = None,
    dropout: Annotated[float, typer.Option("--dropout", help="On the adapter's input.")] = 0.0,
    revision: Revision = "main",
    as_json: AsJson = False,
) -> None:
    """Count what a tuner would train, and list the layers it would reach.

    Example: tunedeck models targets demo --rank 8 --targets q_proj,v_proj
    """
    from core.models.architecture_of import read_model
    from core.models.sources import locate
    from core.models.targets import trainable_parameters, traps

    architecture = read_model(locate(model, revision, workspace_of(ctx)).folder)
    tuner = _tuner(method, rank, names, save or [], dropout)
    found = trainable_parameters(architecture, tuner)
    for trap in traps(architecture, tuner):
        say(f"note: {trap}")
    if as_json:
        print_json(
            {
                "trainable": found.trainable,
                "total": found.total,
                "adapter_bytes": found.adapter_bytes,
                "modules": list(found.modules),
            }
        )
        return
    typer.echo("\n".join(_targets_table(found)))


def _tuner(method: str, rank: int, names: str, save: list[str], dropout: float) -> TunerSection:
    from core.recipe import parse_recipe

    chosen = names if names == "all-linear" or names.startswith("re:") else names.split(",")
    settings = {
        "method": method,
        "rank": rank,
        "targets": chosen,
        "modules_to_save": save,
        "dropout": dropout,
    }
    changes = [f"tuner.{key}={json.dumps(value)}" for key, value in settings.items()]
    return parse_recipe("", changes, where="options").tuner


def _table(entries: list[ModelEntry]) -> list[str]:
    from tui.model.card_lines import size_text

    width = max(len(one.id) for one in entries)
    lines = []
    for one in entries:
        state = f"not whole: {one.missing}" if one.missing else ""
        size = size_text(one.bytes) if one.bytes else ""
        lines.append(f"{one.id:<{width}}  {one.source:<6}  {one.family:<14}  {size:>10}  {state}".rstrip())
    return lines


def _targets_table(found: Trainable) -> list[str]:
    from collections import Counter

    from tui.model.card_lines import size_text

    kinds = Counter(name.rsplit(".", 1)[-1] for name in found.modules)
    lines = [f"{count:>6} x {name}" for name, count in kinds.items()]
    share = 100 * found.share
    return [
        *lines,
        f"trains {found.trainable:,} of {found.total:,} parameters ({share:.4f} %)",
        f"saved file: {size_text(found.adapter_bytes)} of tensors ({found.adapter_bytes:,} bytes)",
    ]
