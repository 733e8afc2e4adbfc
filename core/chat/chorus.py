"""Everyone who answers side by side: base and tuned, and further runs or models as columns of their own.

One process serves every voice on the same base weights: the adapter off, on, or another run's adapter. A model with
other weights, or with another tokenizer or template, gets a process of its own. Used from one thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from core.chat.client import LOAD, ChatWorker
from core.chat.messages import BASE, TUNED, Answer, Done, Failure, Inspection, Loaded, Reply
from core.chat.room import Need, need
from core.chat.sampling import Sampling
from core.chat.subject import Subject, base_of, shares_worker
from core.errors import TunedeckError, UsageError
from core.memory.devices import Device

MOST_PROCESSES = 16


class Chorus:
    """The processes behind the columns. `names` are the columns, in their order."""

    def __init__(self, subject: Subject, *, with_base: bool = True) -> None:
        """`with_base` puts the base of a tuned subject beside it, on the same weights where that can be."""
        self.subject = subject
        self._workers: list[ChatWorker | None] = []  # a place is never given to another process
        self._asked: dict[str, tuple[int, str]] = {}  # column -> place of its process, and the voice there
        tuned = subject.adapter is not None or subject.base_folder is not None
        own = self._begin(subject)
        if tuned and with_base:
            self._asked[BASE] = (own if subject.adapter is not None else self._begin(base_of(subject)), BASE)
        self._asked[TUNED if tuned else BASE] = (own, TUNED if tuned else BASE)

    @property
    def names(self) -> list[str]:
        return list(self._asked)

    @property
    def subjects(self) -> list[Subject]:
        """Everything that is or will be in memory: what each process loads, and the adapters that join it."""
        found: list[Subject] = []
        for _, worker in self._living():
            joined = [replace(worker.subject, adapter=folder) for folder in worker.adapter_folders]
            found += [worker.subject, *joined]
        return found

    def need(self, devices: Sequence[Device]) -> Need:
        """What all of it takes and what is free: to be said before it is loaded."""
        return need(self.subjects, devices, conversations=len(self._asked))

    def label_of(self, who: str) -> str:
        """The name of the run or model behind a column."""
        return self._worker(self._place(who)[0]).subject.label

    def loaded_for(self, who: str) -> Loaded | None:
        """What answers in a column, once it is in memory."""
        place, voice = self._place(who)
        worker = self._worker(place)
        found = worker.loaded
        return found if found is not None and voice in found.voices else None

    @property
    def loaded(self) -> Loaded | None:
        """What the first named subject was loaded as, once every column is there."""
        if any(self.loaded_for(who) is None for who in self.names):
            return None
        return self._worker(0).loaded

    def waiting_for(self, number: int) -> list[str]:
        """The columns that cannot answer because this request failed: the loading of their model or adapter."""
        place, inner = number % MOST_PROCESSES, number // MOST_PROCESSES
        refused = next((worker.refused for at, worker in self._living() if at == place), {})
        return [
            name
            for name, (at, voice) in self._asked.items()
            if at == place and (inner == LOAD or voice in refused)
        ]

    @property
    def busy(self) -> bool:
        return any(worker.busy for _, worker in self._living())

    @property
    def pids(self) -> list[int]:
        return [worker.pid for _, worker in self._living() if worker.pid is not None]

    def start(self) -> None:
        """Start every process that does not run, and load its model."""
        for _, worker in self._living():
            worker.start()

    def add(self, subject: Subject, name: str = "") -> str:
        """One more column; its name. An adapter of a base that is loaded joins that process.

        Raises UsageError if the name is taken.
        """
        name = name or subject.label
        if name in self._asked:
            raise UsageError(f"{name} is here already", where="chat", fix="choose another name")
        for place, worker in self._living():
            if shares_worker(worker.subject, subject):
                assert subject.adapter is not None
                known = worker.adapter_name(subject.adapter)
                if known is None:
                    worker.add_adapter(name, subject.adapter)
                self._asked[name] = (place, known or name)
                return name
        tuned = subject.adapter is not None or subject.base_folder is not None
        self._asked[name] = (self._begin(subject), TUNED if tuned else BASE)
        return name

    def drop(self, name: str) -> None:
        """Take a column away; its process ends if no other column needs it. Raises UsageError for the last one."""
        place, _ = self._place(name)
        if len(self._asked) == 1:
            raise UsageError("the last column stays", where="chat", fix="leave the chat instead")
        del self._asked[name]
        if all(other != place for other, _ in self._asked.values()):
            self._worker(place).close()
            self._workers[place] = None

    def ask(
        self, who: str, messages: Sequence[Mapping[str, Any]], sampling: Sampling, tools: Sequence[Any] = ()
    ) -> int:
        """Queue a question to one column; its number, which is that of no other question.

        A model without a template is given the last message as plain text.
        """
        place, voice = self._place(who)
        worker = self._worker(place)
        if worker.loaded is not None and not worker.loaded.has_template:
            number = worker.ask((), voice, sampling, text=str(messages[-1]["content"]))
        else:
            number = worker.ask([dict(m) for m in messages], voice, sampling, tools=tools)
        return _outer(place, number)

    def inspect(self, who: str, answer: Answer, alternatives: int = 5) -> int:
        """Queue the question how likely each token of an answer was; its number."""
        place, voice = self._place(who)
        number = self._worker(place).inspect(replace(answer, who=voice), alternatives)
        return _outer(place, number)

    def cancel(self, number: int | None = None) -> None:
        """Stop one question, or all that are open."""
        for place, worker in self._living():
            if number is None:
                worker.cancel()
            elif number % MOST_PROCESSES == place:
                worker.cancel(number // MOST_PROCESSES)

    def poll(self, timeout_seconds: float = 0.0) -> list[Reply]:
        """Every message that has arrived, numbered as `ask` did. Waits up to the timeout for the first one."""
        found: list[Reply] = []
        living = self._living()
        share = timeout_seconds / max(len(living), 1)
        for place, worker in living:
            for message in worker.poll(0 if found else share):
                numbered = (
                    message
                    if isinstance(message, Loaded)
                    else replace(message, number=_outer(place, message.number))
                )
                found.append(numbered)
        return found

    def loading(self, who: str) -> Iterator[Reply]:
        """Messages as they arrive until a column is in memory. Blocks. Raises TunedeckError if it cannot be."""
        place, voice = self._place(who)
        worker = self._worker(place)
        while self.loaded_for(who) is None:
            for message in worker.poll(timeout_seconds=0.5):
                if isinstance(message, Failure) and message.number == LOAD:
                    raise TunedeckError(message.what, exit_code=message.exit_code)
                yield message
            if voice in worker.refused:
                raise TunedeckError(worker.refused[voice])

    def replies(self, number: int) -> Iterator[Reply]:
        """Messages of one question as they arrive, up to its end. Blocks; for commands, not for the screen.

        Raises TunedeckError if it fails.
        """
        loading = number % MOST_PROCESSES  # what a failure to load answers to
        while True:
            for message in self.poll(timeout_seconds=0.5):
                if isinstance(message, Loaded):
                    yield message
                    continue
                if isinstance(message, Failure) and message.number in (number, loading):
                    raise TunedeckError(message.what, exit_code=message.exit_code)
                if message.number == number:
                    yield message
                    if isinstance(message, (Done, Inspection)):
                        return

    def close(self) -> None:
        """End every process."""
        for _, worker in self._living():
            worker.close()

    def __enter__(self) -> Chorus:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self, subject: Subject) -> int:
        if len(self._workers) == MOST_PROCESSES:
            raise UsageError("no more models fit beside each other", where="chat", fix="begin a new chat")
        self._workers.append(ChatWorker(subject))
        return len(self._workers) - 1

    def _place(self, who: str) -> tuple[int, str]:
        if who not in self._asked:
            raise UsageError(
                f"there is no {who} here", where="chat", fix=f"ask one of: {', '.join(self._asked)}"
            )
        return self._asked[who]

    def _worker(self, place: int) -> ChatWorker:
        worker = self._workers[place]
        assert worker is not None, "a place that a column names has its process"
        return worker

    def _living(self) -> list[tuple[int, ChatWorker]]:
        return [(place, worker) for place, worker in enumerate(self._workers) if worker is not None]


def _outer(place: int, number: int) -> int:
    return number * MOST_PROCESSES + place
