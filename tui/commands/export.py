"""`tunedeck merge`, `combine` and `export`: take the result away, each form followed by its own check."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tui.commands import launch_files
from tui.commands.chat import Named
from tui.commands.export_words import ExportGroup
from tui.commands.options import AsJson, print_json, say, workspace_of

Out = Annotated[
    str, typer.Option("--out", metavar="PATH", help="Where to put it; exports/ of the run unless named.")
]

OutType = Annotated[
    str,
    typer.Option(
        "--type",
        metavar="TYPE",
        help="f32, f16, bf16 or q8_0; others such as q4_k_m with llama-quantize on PATH.",
    ),
]


def add_to(app: typer.Typer) -> None:
    app.command("merge")(merge)
    app.command("combine")(combine)
    app.command("blend")(blend)
    exports = typer.Typer(
        cls=ExportGroup,
        help="Take the result away in another form: export KIND RUN, or export RUN --to KIND.",
        rich_markup_mode=None,
        no_args_is_help=True,
    )
    exports.command("adapter")(adapter)
    exports.command("gguf")(gguf)
    exports.command("ollama")(ollama)
    exports.command("serve")(serve)
    exports.command("script")(script)
    exports.command("trl")(trl)
    exports.command("hub")(hub)
    launch_files.add_to(exports)
    app.add_typer(exports, name="export")


def merge(
    ctx: typer.Context,
    named: Named,
    out: Out = "",
    dtype: Annotated[
        str, typer.Option(metavar="DTYPE", help="bfloat16, float16 or float32; the run's unless given.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Merge the adapter into its base, in full precision, and compare the result with base and adapter.

    Example: tunedeck merge last
    """
    done = _job(ctx, "merge_named", named=named, out=out, dtype=dtype)
    if as_json:
        print_json(done.to_json())
        return
    typer.echo(str(done.folder))
    for check in done.checks:
        say(str(check))


def combine(
    ctx: typer.Context,
    named: Annotated[
        list[str],
        typer.Argument(metavar="RUN=WEIGHT...", help="Two or more, for example yoda=0.7 plain=0.3."),
    ],
    method: Annotated[
        str, typer.Option(metavar="METHOD", help="cat (exact), svd, linear, ties, dare_ties, ...")
    ] = "cat",
    density: Annotated[
        float, typer.Option(help="Share of entries that ties, dare and magnitude_prune keep.")
    ] = 0.2,
    out: Out = "",
    as_json: AsJson = False,
) -> None:
    """Make several adapters of one base into one, by PEFT's own methods.

    Example: tunedeck combine first=0.5 second=0.5 --method cat
    """
    names, weights = _with_weights(named, "combine")
    done = _job(ctx, "combine_named", named=names, weights=weights, out=out, method=method, density=density)
    if as_json:
        print_json(done.to_json())
        return
    typer.echo(str(done.folder))
    say(f"{done.method}: {done.meaning}; rank {done.rank}")
    say(str(done.check))


def blend(
    ctx: typer.Context,
    named: Annotated[
        list[str],
        typer.Argument(metavar="MODEL=WEIGHT...", help="Two whole models or more, for example a=0.5 b=0.5."),
    ],
    method: Annotated[
        str,
        typer.Option(metavar="METHOD", help="linear, task_arithmetic, slerp, ties, dare_linear, dare_ties"),
    ] = "linear",
    base: Annotated[
        str, typer.Option(metavar="MODEL", help="The base they began with; for all but linear and slerp.")
    ] = "",
    density: Annotated[float, typer.Option(help="Share of entries that ties and dare keep.")] = 0.5,
    out: Out = "",
    as_json: AsJson = False,
) -> None:
    """Make several whole models of one base into one, by mergekit if it is installed.

    Example: tunedeck blend exports/a-merged=0.5 exports/b-merged=0.5 --method slerp
    """
    names, weights = _with_weights(named, "blend")
    done = _job(
        ctx, "blend_named", named=names, weights=weights, out=out, method=method, base=base, density=density
    )
    if as_json:
        print_json(done.to_json())
        return
    typer.echo(str(done.folder))
    say(f"{done.method}: {done.meaning}")
    for check in done.checks:
        say(str(check))


def _with_weights(named: list[str], where: str) -> tuple[list[str], list[float]]:
    """NAME=WEIGHT pairs taken apart. Raises UsageError for one without a number."""
    from core.errors import UsageError

    names, weights = [], []
    for pair in named:
        name, _, weight = pair.rpartition("=")
        try:
            weights.append(float(weight))
        except ValueError:
            name = ""
        if not name:
            raise UsageError(f"{pair} has no weight", where=where, fix=f"write {pair}=0.5")
        names.append(name)
    return names, weights


def adapter(ctx: typer.Context, named: Named, out: Out = "", as_json: AsJson = False) -> None:
    """The adapter with tokenizer, template and a card, as PEFT, vLLM and the Hub take it."""
    done = _job(ctx, "adapter_named", named=named, out=out)
    if as_json:
        print_json(done.to_json())
        return
    typer.echo(str(done.folder))
    say(f"{done.tensors} tensors, {done.bytes / 2**20:.1f} MiB, for the base {done.base}")


def gguf(
    ctx: typer.Context,
    named: Named,
    out: Out = "",
    out_type: OutType = "f16",
    as_json: AsJson = False,
) -> None:
    """One GGUF file for llama.cpp, Ollama and LM Studio, read back and compared.

    Example: tunedeck export gguf last --type q8_0
    """
    done = _job(ctx, "gguf_named", named=named, out=out, out_type=out_type)
    if as_json:
        print_json(done.to_json())
        return
    typer.echo(str(done.file))
    say(f"{done.bytes / 2**20:.1f} MiB, architecture {done.arch}")
    for line in (*map(str, done.checks), *done.notes):
        say(line)


def ollama(
    ctx: typer.Context,
    named: Named,
    out: Out = "",
    out_type: OutType = "f16",
    beside: Annotated[
        bool, typer.Option("--adapter", help="Base and adapter apart, not merged; Ollama applies it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """A folder for `ollama create`: GGUF file and Modelfile with template, stops and parameters."""
    done = _job(ctx, "ollama_named", named=named, out=out, out_type=out_type, beside=beside)
    if as_json:
        print_json(done.to_json())
        return
    typer.echo(str(done.folder))
    for line in (*map(str, done.gguf.checks), *done.gguf.notes):
        say(line)
    say("next: " + " && ".join(done.commands))


def serve(ctx: typer.Context, named: Named, as_json: AsJson = False) -> None:
    """Print the command lines that serve it with vLLM, SGLang and llama.cpp."""
    from core.chat.subject import subject
    from core.export.jobs import exports_folder
    from core.export.serving import serving

    workspace = workspace_of(ctx)
    chosen = subject(named, workspace)
    ways = serving(chosen, exports_folder(chosen, workspace.root))
    if as_json:
        print_json([way.to_json() for way in ways])
        return
    for way in ways:
        typer.echo(way.command or f"# {way.server}: {way.why_not}")


def script(
    ctx: typer.Context,
    named: Named,
    out: Out = "",
    raw: Annotated[
        bool, typer.Option("--raw", help="Start from your own file of rows instead of the prepared ones.")
    ] = False,
) -> None:
    """One Python file that trains the same with transformers, PEFT and TRL, without tunedeck."""
    typer.echo(str(_job(ctx, "script_named", named=named, out=out, raw=raw)))


def trl(ctx: typer.Context, named: Named, out: Out = "") -> None:
    """A folder for `trl sft --config`: the configuration and the prepared rows.

    Example: tunedeck export trl last
    """
    written = _job(ctx, "trl_named", named=named, out=out)
    typer.echo(str(written))
    say(f"next: cd {written.parent} && trl sft --config {written.name}")


def hub(
    ctx: typer.Context,
    named: Named,
    to: Annotated[str, typer.Option("--to", metavar="OWNER/NAME", help="Name on the Hub.")],
    public: Annotated[bool, typer.Option("--public", help="Open to all; private otherwise.")] = False,
    as_json: AsJson = False,
) -> None:
    """Push a run's adapter, or an exported folder, to the Hub; private unless --public.

    Example: tunedeck export hub last --to me/yoda
    """
    done = _job(ctx, "push_named", named=named, to=to, public=public)
    if as_json:
        print_json(done.to_json())
        return
    typer.echo(done.url)
    say(f"{done.files} files, {done.bytes / 2**20:.1f} MiB, {'private' if done.private else 'open to all'}")


def _job(ctx: typer.Context, function: str, **arguments: Any) -> Any:
    """Run a function of `core.export.jobs` in the workshop, saying what it does."""
    from core.workshop import Workshop

    workshop = Workshop()
    try:
        job = workshop.submit(f"core.export.jobs:{function}", root=workspace_of(ctx).root, **arguments)
        result = workshop.wait(job, lambda text: say(f"{text} ..."))
    except BaseException:
        workshop.cancel()
        raise
    workshop.close()
    return result
