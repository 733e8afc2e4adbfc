"""Who is compared in an evaluation: the result, its base, the base with examples before the prompt, another model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.chat.messages import BASE, TUNED
from core.chat.questions import Question, ScoredRow
from core.chat.subject import Subject, base_of
from core.data.types import IGNORED
from core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Contender:
    """One column of the table: a name, the model to load, which of its voices answers, and what it reads first.

    `shots` is the number of examples that stand before every prompt, `examples` are their ids.
    """

    name: str
    subject: Subject
    voice: str
    shots: int = 0
    examples: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        """What answers, in words."""
        off = self.voice == BASE and self.subject.adapter is not None
        text = f"{self.subject.label} with its adapter off" if off else self.subject.label
        return f"{text}, {self.shots} training rows before every prompt" if self.shots else text


def contenders(subject: Subject, against: Subject | None, shots: int = 0) -> list[Contender]:
    """The subject itself first. Its own base costs no second model where PEFT can switch.

    With `shots` the base comes once more, with that many examples before every prompt (still to be filled in).
    """
    is_tuned = _was_tuned(subject)
    own = Contender(TUNED if is_tuned else BASE, subject, TUNED if is_tuned else BASE)
    found = [own]
    if against is not None:
        is_base = is_tuned and against == base_of(subject)
        if is_base:
            found.append(_base(subject))
        else:
            found.append(Contender(against.label, against, TUNED if _was_tuned(against) else BASE))
    if shots:
        plain = _base(subject) if is_tuned else own
        found.append(replace(plain, name=f"{BASE}, {shots} shots", shots=shots))
    return found


def with_examples(
    contender: Contender, rows: Sequence[ScoredRow], bos: int | None, longest: int, context_length: int
) -> Contender:
    """The contender with its examples, spread evenly over `rows` (of the training).

    `longest` is what has to fit behind them: prompt and answer. Raises UsageError if they do not fit the context.
    """
    if len(rows) < contender.shots:
        raise UsageError(
            f"{contender.shots} examples are asked for and there are {len(rows)} training rows",
            where="--shots",
            fix="ask for fewer",
        )
    chosen = [rows[number * len(rows) // contender.shots] for number in range(contender.shots)]
    ids: list[int] = []
    for row in chosen:
        ids += _without_bos(row.input_ids, bos) if ids else row.input_ids
    if context_length and len(ids) + longest > context_length:
        raise UsageError(
            f"{contender.shots} examples take {len(ids):,} tokens; with the longest row that is more than "
            f"the context of {context_length:,}",
            where="--shots",
            fix="ask for fewer",
        )
    return replace(contender, examples=tuple(ids))


def rows_after(rows: Sequence[ScoredRow], examples: tuple[int, ...], bos: int | None) -> list[ScoredRow]:
    """The rows with the examples before them; the examples carry no label."""
    found = []
    for row in rows:
        cut = len(row.input_ids) - len(_without_bos(row.input_ids, bos))
        labels = (*(IGNORED for _ in examples), *row.labels[cut:])
        found.append(ScoredRow(row.row, (*examples, *row.input_ids[cut:]), labels))
    return found


def questions_after(asked: Sequence[Question], examples: tuple[int, ...], bos: int | None) -> list[Question]:
    """The questions with the examples before their prompts."""
    return [
        replace(question, prompt_ids=(*examples, *_without_bos(question.prompt_ids, bos)))
        for question in asked
    ]


def fingerprint(contender: Contender) -> str:
    """Changes when what answers changes: names, sizes and times of the weights, who speaks, and the examples."""
    subject = contender.subject
    parts = [contender.voice, subject.dtype, subject.quantization, repr(contender.examples)]
    for folder in (subject.model_folder, subject.adapter if contender.voice != BASE else None):
        for path in sorted(folder.glob("*")) if folder is not None else []:
            if path.suffix in (".safetensors", ".bin", ".json", ".jinja"):
                stat = path.stat()
                parts.append(f"{path.name}:{stat.st_size}:{stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def _base(subject: Subject) -> Contender:
    """The base of a tuned subject: its own weights with the adapter off, else the model it began with."""
    return Contender(BASE, subject if subject.adapter is not None else base_of(subject), BASE)


def _without_bos(ids: tuple[int, ...], bos: int | None) -> tuple[int, ...]:
    return ids[1:] if bos is not None and ids[:1] == (bos,) else ids


def _was_tuned(subject: Subject) -> bool:
    return subject.adapter is not None or subject.base_folder is not None
