"""`tunedeck chat`: ask a model, with base, tuned and other runs one after the other, or talk to it line by line."""

from __future__ import annotations

from typing import Annotated

import typer

from tui.commands.options import AsJson, print_json, workspace_of

Named = Annotated[
    str, typer.Argument(metavar="RUN", help="A run, RUN:checkpoint-40, an adapter or model folder, or demo.")
]


def add_to(app: typer.Typer) -> None:
    app.command("chat")(chat)


def chat(
    ctx: typer.Context,
    named: Named,
    prompts: Annotated[
        list[str] | None, typer.Option("--prompt", metavar="TEXT", help="Ask this and leave; repeatable.")
    ] = None,
    base: Annotated[bool, typer.Option("--base", help="Let the base model answer as well.")] = False,
    beside: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="RUN", help="Another run or model that answers as well; repeatable."),
    ] = None,
    system: Annotated[
        str | None,
        typer.Option("--system", metavar="TEXT", help="System message; the recipe's unless given."),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="0 is greedy; the model's own unless given.")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option("--top-p", help="Keep the likeliest tokens up to this sum.")
    ] = None,
    top_k: Annotated[int | None, typer.Option("--top-k", help="Keep this many tokens; 0 is off.")] = None,
    min_p: Annotated[
        float | None, typer.Option("--min-p", help="Drop tokens below this share of the likeliest.")
    ] = None,
    repetition_penalty: Annotated[
        float | None, typer.Option("--repetition-penalty", help="Above 1 makes repeats less likely.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", help="New tokens at most.")] = None,
    seed: Annotated[int | None, typer.Option(help="For sampling that can be repeated.")] = None,
    as_json: AsJson = False,
) -> None:
    """Chat with a run beside its base model.

    Example: tunedeck chat last --base --prompt "Say: The cat sees the dog."
    """
    from core.chat.chorus import Chorus
    from core.chat.sampling import Sampling
    from core.chat.subject import subject
    from core.errors import UsageError
    from tui.commands.talk import Talk, talk_by_line

    if as_json and not prompts:
        raise UsageError("--json answers one call", fix="add --prompt TEXT")
    workspace = workspace_of(ctx)
    chosen = subject(named, workspace)
    sampling = Sampling(temperature, top_p, top_k, min_p, repetition_penalty, max_tokens, seed)
    others = [subject(other, workspace) for other in beside or ()]
    with Chorus(chosen, with_base=base) as chorus:
        for other in others:
            chorus.add(other)
        talk = Talk(chorus, sampling, chosen.system if system is None else system, workspace)
        if not prompts:
            talk_by_line(talk)
            return
        answers = [answer for prompt in prompts for answer in talk.ask_once(prompt, show=not as_json)]
        if as_json:
            print_json(
                {"model": chosen.label, "voices": chorus.names, "answers": [a.to_json() for a in answers]}
            )
