"""`tunedeck chat`: ask a model, with base and tuned one after the other, or talk to it line by line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tui.commands.options import AsJson, print_json, say, workspace_of

if TYPE_CHECKING:
    from core.chat.client import ChatWorker
    from core.chat.messages import Answer
    from core.chat.sampling import Sampling
    from core.chat.subject import Subject

Named = Annotated[
    str, typer.Argument(metavar="RUN", help="A run, RUN:checkpoint-40, an adapter or model folder, or demo.")
]
HELP = "/reset forgets the conversation, /save FILE adds it to a JSONL file, /quit leaves"


def add_to(app: typer.Typer) -> None:
    app.command("chat")(chat)


def chat(
    ctx: typer.Context,
    named: Named,
    prompts: Annotated[
        list[str] | None, typer.Option("--prompt", metavar="TEXT", help="Ask this and leave; repeatable.")
    ] = None,
    base: Annotated[bool, typer.Option("--base", help="Let the base model answer as well.")] = False,
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
    from core.chat.sampling import Sampling
    from core.chat.subject import subject
    from core.errors import UsageError

    if as_json and not prompts:
        raise UsageError("--json answers one call", fix="add --prompt TEXT")
    chosen = subject(named, workspace_of(ctx))
    sampling = Sampling(temperature, top_p, top_k, min_p, repetition_penalty, max_tokens, seed)
    with _Voices(chosen, base, sampling, chosen.system if system is None else system) as voices:
        if not prompts:
            _talk(voices)
            return
        answers = [answer for prompt in prompts for answer in voices.ask(prompt, show=not as_json)]
        if as_json:
            print_json(
                {"model": chosen.label, "voices": voices.names, "answers": [a.to_json() for a in answers]}
            )


class _Voices:
    """The tuned model and, if wanted, its base: who is asked, through which worker, with which history."""

    def __init__(self, subject: Subject, with_base: bool, sampling: Sampling, system: str) -> None:
        from core.chat.client import ChatWorker
        from core.chat.messages import BASE, TUNED
        from core.chat.subject import base_of

        worker = ChatWorker(subject)
        self._workers = [worker]
        self._asked: dict[str, ChatWorker] = {}
        own = BASE if subject.adapter is None and subject.base_folder is None else TUNED
        if with_base and own == TUNED:
            # An adapter is switched off on the same weights; a model trained whole needs its base beside it.
            self._asked[BASE] = worker if subject.adapter is not None else ChatWorker(base_of(subject))
            self._workers = list({id(w): w for w in (worker, self._asked[BASE])}.values())
        self._asked[own] = worker
        self._sampling, self._system = sampling, system
        self.reset()

    @property
    def names(self) -> list[str]:
        return list(self._asked)

    def reset(self) -> None:
        head = [{"role": "system", "content": self._system}] if self._system else []
        self.histories: dict[str, list[dict[str, Any]]] = {who: list(head) for who in self._asked}

    def ask(self, prompt: str, *, show: bool, keep: bool = False) -> list[Answer]:
        """Ask every voice; the answers in the order of `names`. With `keep` the turn joins the history."""
        answers = []
        for who, worker in self._asked.items():
            worker.start()
            loaded = _wait_for_model(worker)
            if show and len(self._asked) > 1:
                typer.echo(f"{who}> ", nl=False)
            turns = [*self.histories[who], {"role": "user", "content": prompt}]
            number = (
                worker.ask(turns, who, self._sampling)
                if loaded.has_template
                else worker.ask((), who, self._sampling, text=prompt)
            )
            answer = _follow(worker, number, show)
            answers.append(answer)
            if keep:
                self.histories[who] = [*turns, {"role": "assistant", "content": answer.text}]
        return answers

    def __enter__(self) -> _Voices:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.close()


def _wait_for_model(worker: ChatWorker) -> Any:
    from core.chat.messages import Failure
    from core.errors import TunedeckError

    if worker.loaded is None:
        say(f"loading {worker.subject.label} ...")
    while worker.loaded is None:
        for message in worker.poll(timeout_seconds=0.5):
            if isinstance(message, Failure):
                raise TunedeckError(message.what, exit_code=message.exit_code)
        if worker.loaded is not None:
            for note in worker.loaded.notes:
                say(f"note: {note}")
    return worker.loaded


def _follow(worker: ChatWorker, number: int, show: bool) -> Answer:
    """Print an answer as it comes. Ctrl+C stops it and keeps what was said."""
    from core.chat.messages import Done, Piece, Started
    from tui.widgets.text import visible

    messages = worker.answers(number)
    answer: Answer | None = None
    while answer is None:
        try:
            message = next(messages)
            if isinstance(message, Started):
                for warning in message.warnings:
                    say(f"warning: {warning}")
            elif isinstance(message, Piece) and show:
                typer.echo(visible(message.text, lines=True), nl=False)
                sys.stdout.flush()
            elif isinstance(message, Done):
                answer = message.answer
        except KeyboardInterrupt:
            worker.cancel(number)
            messages = worker.answers(number)
    if show:
        typer.echo("")
        say(_figures(answer))
    return answer


def _figures(answer: Answer) -> str:
    state = "on" if answer.proof.active else "off"
    adapter = f", adapter {answer.proof.adapter} {state}" if answer.proof.adapter else ""
    return (
        f"  [{answer.who}{adapter}; {len(answer.ids)} tokens, first after {answer.first_token_seconds:.2f} s, "
        f"{answer.tokens_per_second:.0f} tokens/s; ended by {answer.stop_token or answer.stop}]"
    )


def _talk(voices: _Voices) -> None:
    """Read, ask, print, until the input ends. A conversation is lost only by /reset."""
    from core.chat.conversation import save_conversation
    from core.errors import TunedeckError

    interactive = sys.stdin.isatty()
    if interactive:
        say(HELP)
    while True:
        try:
            line = input("you> " if interactive else "").strip()
        except EOFError:
            return
        try:
            if line in ("/quit", "/exit"):
                return
            if line == "/reset":
                voices.reset()
            elif line.startswith("/save "):
                path = Path(line.removeprefix("/save ").strip()).expanduser()
                for messages in voices.histories.values():
                    save_conversation(path, messages)
                say(f"saved to {path}")
            elif line.startswith("/"):
                say(HELP)
            elif line:
                voices.ask(line, show=True, keep=True)
        except TunedeckError as error:
            if not interactive:
                raise
            say(f"tunedeck: {error}")
