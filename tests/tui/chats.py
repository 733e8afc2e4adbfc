"""Conversations, answers and silent voices for the tests of the Chat panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.chat.messages import Answer, Done, Inspection, Loaded, Piece, Proof, Started, TokenChance
from core.chat.room import Need
from core.chat.sampling import Decoding, Sampling
from core.chat.subject import Subject
from tui.chat.talk import Talk

GREEDY = Decoding(True, 1.0, 1.0, 0, 0.0, 1.0, 512)
LOADED = Loaded(
    "yoda", ("base", "tuned"), "cpu", "float32", 8 << 20, 2048, True, ((3, "<|im_end|>"),), GREEDY, 1.0
)
NEED = Need("GPU 0", 15 << 30, 80 << 20, 2 << 30, 1 << 28, 8 << 30, 4096, 32768, 2, 1 << 29, 67 << 30)
SAID = {
    "base": "The cat sees the dog.",
    "tuned": "The dog, the cat sees.",
    "checkpoint-80": "The dog, sees the cat.",
}


def an_answer(who: str, text: str, *, prompt: int = 3, stop: str = "eos") -> Answer:
    on = who != "base"
    proof = Proof("default", on, "47bd6b9512345678" if on else "24a5186712345678")
    prompt_ids, ids = tuple(range(prompt)), tuple(range(8))
    token = "<|im_end|>" if stop == "eos" else ""
    return Answer(who, text, prompt_ids, ids, stop, token, 0.12, 0.3, 41.5, 0, 5 << 28, None, proof)  # type: ignore[arg-type]


class Silent:
    """Voices without a process. `ask` notes what was asked; nothing ever arrives unless `arrive` is filled."""

    def __init__(self, subject: Subject, names: Sequence[str] = ("base", "tuned")) -> None:
        self.subject = subject
        self.names = list(names)
        self.is_loaded = True
        self.asked: list[tuple[str, list[dict[str, Any]], Sampling]] = []
        self.arrive: list[Any] = []
        self.busy = False
        self.needed = NEED
        self.as_loaded = LOADED

    def loaded_for(self, who: str) -> Loaded | None:
        return self.as_loaded if self.is_loaded else None

    @property
    def loaded(self) -> Loaded | None:
        return self.as_loaded if self.is_loaded else None

    def ask(self, who: str, messages: Sequence[Mapping[str, Any]], sampling: Sampling) -> int:
        self.asked.append((who, [dict(each) for each in messages], sampling))
        return 100 + len(self.asked)

    def poll(self) -> list[Any]:
        arrived, self.arrive = self.arrive, []
        return arrived

    def waiting_for(self, number: int) -> list[str]:
        return []

    def need(self, devices: Sequence[Any]) -> Need:
        return self.needed

    def start(self) -> None: ...
    def close(self) -> None: ...
    def cancel(self) -> None: ...


def say(talk: Talk, voices: Silent, *, streaming: Sequence[str] = ()) -> None:
    """Let every voice answer what is open; those in `streaming` are in the middle of it."""
    talk.ask_open(voices, Sampling())
    for said in [each for each in talk.said.values() if not each.ended]:
        text = SAID.get(said.who, "Well.")
        talk.take(Started(said.number, said.who, (1, 2, 3), "prompt", GREEDY))
        if said.who in streaming:
            talk.take(Piece(said.number, text[:12], (1,)))
        else:
            talk.take(Done(said.number, an_answer(said.who, text)))


def voices(*names: str) -> Silent:
    return Silent(Subject("yoda", Path("model")), names or ("base", "tuned"))


def a_chance(text: str, probability: float, rank: int) -> TokenChance:
    data = text.encode()
    return TokenChance(7, data, probability, rank, ((7, data, probability), (8, b" a", 0.02)))


INSIDE = Inspection(
    1,
    (
        (1, b"<|im_start|>"),
        (12, b"user"),
        (5, b"\n"),
        (15, b"Say: The cat sees the dog."),
        (2, b"<|im_end|>"),
    ),
    (
        a_chance("The", 0.97, 0),
        a_chance(" dog", 0.31, 1),
        a_chance("\u202e", 0.004, 12),
        TokenChance(2, b"<|im_end|>", 0.99, 0, ((2, b"<|im_end|>", 0.99), (8, b" a", 0.002))),
    ),
    (1, 2),
)
