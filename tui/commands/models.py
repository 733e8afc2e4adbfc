"""`tunedeck models [QUERY] | show | get | remove | targets | grow`: find, read, fetch and count models."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from tui.commands.options import AsJson, print_json, say, workspace_of

if TYPE_CHECKING:
    from core.memory.needs import Need
    from core.models.card import ModelCard
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
    group.command("get")(get)
    group.command("remove")(remove)
    group.command("targets")(targets)
    group.command("grow")(grow)
    app.add_typer(group, name="models")


def list_models(
    ctx: typer.Context,
    query: Annotated[
        list[str] | None, typer.Argument(metavar="QUERY", help="Words a name must hold.")
    ] = None,
    source: Annotated[
        str, typer.Option("--source", help="all (of this machine), demo, folder, run, cache or hub.")
    ] = "all",
    folder: Annotated[
        list[Path] | None, typer.Option("--folder", help="Look for models here too; repeatable.")
    ] = None,
    author: Annotated[str, typer.Option("--author", help="Hub: models of this owner.")] = "",
    licence: Annotated[str, typer.Option("--licence", help="Hub: for example apache-2.0.")] = "",
    size: Annotated[str, typer.Option("--size", help="Hub: parameters, for example min:1B,max:9B.")] = "",
    gated: Annotated[
        bool | None, typer.Option("--gated/--open", help="Hub: only gated, or only open models.")
    ] = None,
    sort: Annotated[
        str,
        typer.Option(
            "--sort", help="name, size, used or parameters; on the Hub downloads, likes or updated."
        ),
    ] = "",
    limit: Annotated[int, typer.Option("--limit", help="Hub: how many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List models.

    Example: tunedeck models llama --source hub --size max:9B --open
             tunedeck models --sort size
    """
    from core.errors import UsageError
    from core.models.hub_search import HubQuery, HubSearch
    from core.models.listing import LOCAL_SORTS, local_models, search_entries, sort_entries

    sources = ("all", "demo", "folder", "run", "cache", "hub")
    if source not in sources:
        raise UsageError(f"{source} is not a source of models", fix=f"use {', '.join(sources)}")
    words = " ".join(query or ())
    orders = ("downloads", "likes", "updated") if source == "hub" else LOCAL_SORTS
    by = sort or orders[0]
    if by not in orders:
        place = "the Hub" if source == "hub" else "this machine"
        raise UsageError(f"cannot sort the models of {place} by {sort}", fix=f"use {', '.join(orders)}")
    if source == "hub":
        found = HubSearch(HubQuery(words, author, licence, gated, size, by)).page(limit)  # type: ignore[arg-type]
    else:
        found = search_entries(local_models(workspace_of(ctx), tuple(folder or ())), words)
        found = sort_entries([one for one in found if source in ("all", one.source)], by)  # type: ignore[arg-type]
    if as_json:
        print_json([one.to_json() for one in found])
    elif found:
        typer.echo("\n".join(_table(found)))
    else:
        say("nothing found" + ("" if source == "hub" else " here; --source hub searches the Hub"))


def show(ctx: typer.Context, model: ModelId, revision: Revision = "main", as_json: AsJson = False) -> None:
    """What a model is: its parts, attention, context, tokenizer, template, licence, and what to know.

    A model that is not here is read from the Hub: its small files and the headers of its weights.

    Example: tunedeck models show demo
    """
    from core.models.card import card_json
    from tui.model.card_lines import card_lines, needs_lines

    card = _card(ctx, model, revision)
    needed = _needs(card)
    if as_json:
        print_json({**card_json(card), "needs": [asdict(one) for one in needed]})
        return
    typer.echo(f"{card.id}  {card.revision[:12]}".rstrip())
    for label, value in [*card_lines(card), *(needs_lines(needed) if needed else [])]:
        typer.echo(f"{label:>12}  {value}")


def _needs(card: ModelCard) -> tuple[Need, ...]:
    """What the ways of using it need on this machine, with a recipe's defaults."""
    from core.memory.devices import read_devices, room_for
    from core.memory.needs import needs
    from core.recipe import Recipe

    if card.architecture is None:
        return ()
    recipe = Recipe()
    return needs(card.architecture, recipe, room_for(recipe, read_devices(processes=False)))


def _card(ctx: typer.Context, model: str, revision: str) -> ModelCard:
    """The card of a model here, else of the one on the Hub. Offline, what is missing here is the error."""
    from core.errors import MissingError
    from core.models.card import read_card
    from core.models.hub import HubUnreachable
    from core.models.hub_card import read_hub_card
    from core.models.sources import locate

    try:
        return read_card(locate(model, revision, workspace_of(ctx)))
    except MissingError:
        try:
            return read_hub_card(model, revision)
        except HubUnreachable as error:
            raise MissingError(
                f"this model is not on this machine, and {error.what}", where=model, fix=error.fix
            ) from None


def get(
    model: Annotated[str, typer.Argument(metavar="ID", help="A Hub id: owner/name.")],
    revision: Revision = "main",
    allow_pickle: Annotated[
        str, typer.Option("--allow-pickle", metavar="FILE", help="Accept this one pickled weight file.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Download a model into the Hugging Face cache. Stopping it loses nothing: the same command goes on.

    Example: tunedeck models get Qwen/Qwen2.5-0.5B-Instruct
    """
    from core.models.download import fetch
    from tui.commands.progress_line import ProgressLine

    line = ProgressLine()
    try:
        folder = fetch(model, revision, allow_pickle, progress=line.show)
    finally:
        line.end()
    if as_json:
        print_json({"id": model, "folder": folder, "revision": Path(folder).name})
    else:
        typer.echo(folder)


def remove(
    model: Annotated[str, typer.Argument(metavar="ID", help="A Hub id that is in the cache.")],
    revision: Annotated[str, typer.Option("--revision", help="Only this commit.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take a model out of the Hugging Face cache.

    Example: tunedeck models remove Qwen/Qwen2.5-0.5B-Instruct --yes --json
    """
    from core.models.remove import plan_removal
    from core.models.remove import remove as remove_now
    from tui.model.card_lines import size_text

    removal = plan_removal(model, revision)
    freed = size_text(removal.freed_bytes)
    if not yes and not typer.confirm(f"remove {model}? That frees {freed}", err=True):
        raise typer.Exit(1)
    remove_now(removal)
    if as_json:
        print_json(asdict(removal))
        return
    say(f"removed {model}: {freed} free again")


def grow(
    ctx: typer.Context,
    model: ModelId,
    tokens: Annotated[list[str], typer.Option("--token", metavar="TEXT", help="A new token; repeatable.")],
    out: Annotated[str, typer.Option("--out", metavar="FOLDER", help="The new model folder.")],
    as_json: AsJson = False,
) -> None:
    """Write a model with further tokens into a new folder, and say what must be trained for them.

    Example: tunedeck models grow demo --token "<plan>" --token "</plan>" --out demo-plan
    """
    from core.workshop import Workshop

    workshop = Workshop()
    job = workshop.submit(
        "core.models.grow:grow_named", named=model, root=workspace_of(ctx).root, tokens=tokens, out=out
    )
    try:
        done = workshop.wait(job, lambda text: say(f"{text} ..."))
    finally:
        workshop.cancel()
    if as_json:
        print_json(done.to_json())
        return
    typer.echo(done.folder)
    say(f"rows of the embedding: {done.rows_before:,} before, {done.rows_after:,} now")
    say(f'train the new rows: tuner.modules_to_save = {json.dumps(done.train)}, or tuner.method = "full"')


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
    from core.errors import TunedeckError
    from core.models.targets import trainable_parameters, traps

    card = _card(ctx, model, revision)
    if card.architecture is None:
        raise TunedeckError("; ".join(card.problems), where=model)
    architecture = card.architecture
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
    from tui.model.card_lines import count_text, size_text

    width = max(len(one.id) for one in entries)
    lines = []
    for one in entries:
        state = f"not whole: {one.missing}" if one.missing else ""
        size = size_text(one.bytes) if one.bytes else count_text(one.parameters) if one.parameters else ""
        if one.source == "hub":
            access = f"gated ({one.gated})" if one.gated else ""
            state = f"{one.downloads:>12,} downloads  {one.likes:>7,} likes  {one.licence:<12}  {access}"
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
