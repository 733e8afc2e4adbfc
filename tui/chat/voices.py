"""Who is asked, and through which worker: one process for base and adapter, a second one only where needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from core.chat.client import ChatWorker
from core.chat.messages import BASE, TUNED, Loaded, Reply
from core.chat.sampling import Sampling
from core.chat.subject import Subject, base_of


class Voices:
    """The workers behind the columns. Used from the app's own thread."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        worker = ChatWorker(subject)
        self._asked: dict[str, ChatWorker] = {}
        if subject.adapter is not None:
            self._asked = {BASE: worker, TUNED: worker}  # the same weights, the adapter off and on
        elif subject.base_folder is not None:
            self._asked = {BASE: ChatWorker(base_of(subject)), TUNED: worker}
        else:
            self._asked = {BASE: worker}
        self._workers = list({id(each): each for each in self._asked.values()}.values())

    @property
    def names(self) -> list[str]:
        return list(self._asked)

    @property
    def loaded(self) -> Loaded | None:
        """What was loaded, once all of it is."""
        found = [worker.loaded for worker in self._workers]
        return found[-1] if all(found) else None

    @property
    def busy(self) -> bool:
        return any(worker.busy for worker in self._workers)

    @property
    def pids(self) -> list[int]:
        return [worker.pid for worker in self._workers if worker.pid is not None]

    def start(self) -> None:
        for worker in self._workers:
            worker.start()

    def ask(self, who: str, messages: Sequence[dict[str, Any]], sampling: Sampling) -> int:
        """Queue a question to one voice; its number, which is that of no other voice."""
        worker = self._asked[who]
        if worker.loaded is not None and not worker.loaded.has_template:
            number = worker.ask((), who, sampling, text=str(messages[-1]["content"]))
        else:
            number = worker.ask(messages, who, sampling)
        return self._outer(worker, number)

    def inspect(self, who: str, answer: Any) -> int:
        worker = self._asked[who]
        return self._outer(worker, worker.inspect(answer))

    def cancel(self) -> None:
        for worker in self._workers:
            worker.cancel()

    def poll(self) -> list[Reply]:
        """Every message that has arrived, numbered as `ask` did. Never waits."""
        return [
            message
            if isinstance(message, Loaded)
            else replace(message, number=self._outer(worker, message.number))
            for worker in self._workers
            for message in worker.poll()
        ]

    def close(self) -> None:
        for worker in self._workers:
            worker.close()

    def _outer(self, worker: ChatWorker, number: int) -> int:
        return number * len(self._workers) + self._workers.index(worker)
