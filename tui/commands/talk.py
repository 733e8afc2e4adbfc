"""A conversation line by line, for a terminal without the app: ask, correct, branch, save, load."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import typer

from core.chat.chorus import Chorus
from core.chat.conversation import load_conversations
from core.chat.dialogue import Dialogue, dialogue_of
from core.chat.messages import Answer, Done, Loaded, Piece, Started
from core.chat.room import require_room
from core.chat.sampling import FIELDS, Sampling, changed, laid_over
from core.chat.saved_rows import SavedRows
from core.chat.subject import subject
from core.errors import TunedeckError, UsageError
from core.memory.devices import read_devices
from core.workspace import Workspace
from tui.commands.options import say
from tui.widgets.text import visible

HELP = """\
/retry            ask the last prompt again          /edit N TEXT   prompt N anew, the later ones after it
/branch N         the other branch at prompt N       /history       the prompts, numbered
/system [TEXT]    set it; alone switches it off, on  /set NAME VALUE   sampling; alone shows it
/add RUN          one more model answers             /drop NAME     not any more
/save FILE        the conversation as rows of a JSONL file, one per voice; saved again, in their place
/load FILE [N]    take up its conversation N (the last one)
/reset            forget the conversation            /quit          leave"""


class Talk:
    """The conversation, how it is sampled, and who answers."""

    def __init__(self, chorus: Chorus, sampling: Sampling, system: str, workspace: Workspace) -> None:
        self.chorus, self.sampling, self.workspace = chorus, sampling, workspace
        self.dialogue = Dialogue(system)
        self.rows = SavedRows()
        self._said_need = False

    def ask_once(self, prompt: str, *, show: bool) -> list[Answer]:
        """Ask every voice, and forget it again."""
        before = self.dialogue
        self.dialogue = before.asked(prompt)
        try:
            return self.catch_up(show=show)
        finally:
            self.dialogue = before

    def catch_up(self, *, show: bool = True) -> list[Answer]:
        """Ask every voice what it has not answered yet in the branch in view."""
        given: list[Answer] = []
        for who in self.chorus.names:
            while (turn := self.dialogue.open_turn(who)) is not None:
                given.append(self._answer(who, turn, show))
                self.dialogue = self.dialogue.answered(turn, who, given[-1].text)
        return given

    def _answer(self, who: str, turn: int, show: bool) -> Answer:
        self._load(who)
        if show and len(self.chorus.names) > 1:
            typer.echo(f"{visible(who)}> ", nl=False)
        number = self.chorus.ask(who, self.dialogue.history(who, turn), self.sampling)
        return replace(_follow(self.chorus, who, number, show), who=who)

    def _load(self, who: str) -> None:
        if self.chorus.loaded_for(who) is not None:
            return
        if not self._said_need:
            self._said_need = True
            needed = self.chorus.need(read_devices(slow=False, processes=False))
            say(str(needed))
            require_room(needed)
        say(f"loading {visible(self.chorus.label_of(who))} ...")
        self.chorus.start()
        for message in self.chorus.loading(who):
            if isinstance(message, Loaded):
                for note in message.notes:
                    say(f"note: {note}")


def talk_by_line(talk: Talk) -> None:
    """Read, ask, print, until the input ends. A conversation is lost only by /reset."""
    interactive = sys.stdin.isatty()
    if interactive:
        say(HELP)
    while True:
        try:
            line = input("you> " if interactive else "").strip()
        except EOFError:
            return
        if line in ("/quit", "/exit"):
            return
        before = talk.dialogue
        try:
            if line.startswith("/"):
                _obey(talk, line)
            elif line:
                talk.dialogue = before.asked(line)
            talk.catch_up()
        except TunedeckError as error:
            talk.dialogue = _without_open_end(talk, before)
            if not interactive:
                raise
            say(f"tunedeck: {error}")


def _without_open_end(talk: Talk, before: Dialogue) -> Dialogue:
    """After a failure the conversation is what it was; what some voices have answered meanwhile stays."""
    answered = any(talk.dialogue.open_turn(who) is None for who in talk.chorus.names)
    return talk.dialogue if answered else before


def _obey(talk: Talk, line: str) -> None:
    name, _, rest = line.partition(" ")
    command = COMMANDS.get(name)
    if command is None:
        say(HELP)
    else:
        command(talk, rest.strip())


def _reset(talk: Talk, _rest: str) -> None:
    talk.dialogue = replace(talk.dialogue, turns=(), at=None)
    talk.rows = SavedRows()


def _retry(talk: Talk, _rest: str) -> None:
    if talk.dialogue.at is None:
        raise UsageError("nothing has been asked yet", where="/retry", fix="ask first")
    talk.dialogue = talk.dialogue.retried(talk.dialogue.at)


def _edit(talk: Talk, rest: str) -> None:
    number, _, prompt = rest.partition(" ")
    if not prompt.strip():
        raise UsageError("no new prompt", where="/edit", fix="write /edit N TEXT")
    talk.dialogue = talk.dialogue.replayed(_turn(talk, number, "/edit"), prompt.strip())


def _branch(talk: Talk, rest: str) -> None:
    talk.dialogue = talk.dialogue.other_branch(_turn(talk, rest, "/branch"))
    _history(talk, "")


def _history(talk: Talk, _rest: str) -> None:
    for place, turn in enumerate(talk.dialogue.branch, 1):
        beside = talk.dialogue.branches(turn.id)
        which = f" (branch {beside.index(turn.id) + 1} of {len(beside)})" if len(beside) > 1 else ""
        typer.echo(f"{place}{which}: {visible(turn.prompt)}")


def _system(talk: Talk, rest: str) -> None:
    if rest:
        talk.dialogue = replace(talk.dialogue, system=rest, with_system=True)
    else:
        talk.dialogue = replace(talk.dialogue, with_system=not talk.dialogue.with_system)
    used = talk.dialogue.system if talk.dialogue.with_system else ""
    say(f"system: {visible(used) or 'none'}")


def _set(talk: Talk, rest: str) -> None:
    name, _, value = rest.partition(" ")
    if name:
        talk.sampling = changed(talk.sampling, name, value)
    loaded = talk.chorus.loaded
    if loaded is not None:
        used = laid_over(talk.sampling, loaded.decoding)
        say(f"{used}, {used.max_tokens} tokens at most; the model's own: {loaded.decoding}")
    asked = {field.name: getattr(talk.sampling, field.name) for field in FIELDS}
    say("set here: " + (", ".join(f"{k} {v:g}" for k, v in asked.items() if v is not None) or "nothing"))


def _add(talk: Talk, rest: str) -> None:
    name = talk.chorus.add(subject(rest, talk.workspace))
    try:
        talk._load(name)
    except TunedeckError:
        talk.chorus.drop(name)
        raise


def _drop(talk: Talk, rest: str) -> None:
    talk.chorus.drop(rest)


def _save(talk: Talk, rest: str) -> None:
    path = _path(rest, "/save")
    answered = [who for who in talk.chorus.names if talk.dialogue.conversation(who)]
    if not answered:
        raise UsageError("nothing has been answered yet", where="/save", fix="ask first")
    for who in answered:
        line, replaced = talk.rows.save(talk.dialogue, path, who)
        say(f"{visible(who)} is line {line} of {path}{', as it is now' * replaced}")


def _load(talk: Talk, rest: str) -> None:
    words = rest.rsplit(" ", 1)
    numbered = len(words) == 2 and words[1].isdigit()
    path = _path(words[0] if numbered else rest, "/load")
    found = load_conversations(path)
    place = int(words[1]) if numbered else len(found)
    if not 1 <= place <= len(found):
        raise UsageError(f"there are {len(found)} conversations", where=str(path), fix="name one by number")
    talk.dialogue = dialogue_of(found[place - 1], talk.chorus.names)
    talk.rows = SavedRows()
    if talk.dialogue.at is not None:
        talk.rows.loaded(path, place - 1, found[place - 1], talk.dialogue.at, talk.chorus.names)
    _history(talk, "")


def _path(text: str, where: str) -> Path:
    if not text:
        raise UsageError("no file is named", where=where, fix=f"write {where} FILE")
    return Path(text).expanduser()


def _turn(talk: Talk, number: str, where: str) -> int:
    branch = talk.dialogue.branch
    if not number.isdigit() or not 1 <= int(number) <= len(branch):
        raise UsageError(
            f"there is no prompt {visible(number) or 'named'}", where=where, fix="/history numbers them"
        )
    return branch[int(number) - 1].id


COMMANDS: dict[str, Callable[[Talk, str], None]] = {
    "/reset": _reset,
    "/retry": _retry,
    "/edit": _edit,
    "/branch": _branch,
    "/history": _history,
    "/system": _system,
    "/set": _set,
    "/add": _add,
    "/drop": _drop,
    "/save": _save,
    "/load": _load,
}


def _follow(chorus: Chorus, who: str, number: int, show: bool) -> Answer:
    """Print an answer as it comes. Ctrl+C stops it and keeps what was said."""
    replies = chorus.replies(number)
    answer: Answer | None = None
    while answer is None:
        try:
            message = next(replies)
            if isinstance(message, Started):
                for warning in message.warnings:
                    say(f"warning: {warning}")
            elif isinstance(message, Piece) and show:
                typer.echo(visible(message.text, lines=True), nl=False)
                sys.stdout.flush()
            elif isinstance(message, Done):
                answer = message.answer
        except KeyboardInterrupt:
            chorus.cancel(number)
            replies = chorus.replies(number)
    if show:
        typer.echo("")
        say(_figures(answer, who))
    return answer


def _figures(answer: Answer, who: str) -> str:
    state = "on" if answer.proof.active else "off"
    adapter = f", adapter {answer.proof.adapter} {state}" if answer.proof.adapter else ""
    return (
        f"  [{visible(who)}{adapter}; {len(answer.ids)} tokens, first after {answer.first_token_seconds:.2f} s, "
        f"{answer.tokens_per_second:.0f} tokens/s; ended by {answer.stop_token or answer.stop}]"
    )
