"""Base against tuned on held-out rows: loss over labelled tokens, and every answer generated and compared.

Heavy: runs in a process of its own, for example through the workshop. Every finished row is written
down at once, so an evaluation that was stopped goes on where it ended.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.chat.generate import answers
from core.chat.ledger import Ledger
from core.chat.load import LoadedModel, load
from core.chat.losses import row_losses
from core.chat.messages import BASE, TUNED
from core.chat.metrics import (
    Difference,
    Marked,
    RowLoss,
    Scores,
    check_form,
    mark,
    paired_difference,
    scores,
)
from core.chat.questions import Question, ScoredRow, questions, read_rows, text_of, without_stop
from core.chat.subject import Subject, base_of
from core.chat.voices import speaking_as
from core.errors import TunedeckError

LOSS_ROWS = 64  # rows between two lines of progress
MAX_TOKENS_MARGIN = 64  # room beyond the longest expected answer, to see whether the model stops by itself


@dataclass(frozen=True, slots=True)
class Contender:
    """One column of the table: a name, the model to load, and which of its voices answers."""

    name: str
    subject: Subject
    voice: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What one contender achieved: its figures, and every row and answer behind them."""

    name: str
    label: str
    scores: Scores
    losses: tuple[RowLoss, ...]
    answers: tuple[Marked, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All contenders on the same rows. `differences` are first minus second, per figure."""

    data: str
    folder: Path
    models: tuple[Judged, ...]
    differences: dict[str, Difference]
    questions: tuple[str, ...]  # the prompt of every question, as text
    seconds: float

    def to_json(self, worst: int = 10) -> dict[str, Any]:
        """The documented shape: figures per model, differences with intervals, the worst answers."""
        return {
            "data": self.data,
            "folder": str(self.folder),
            "seconds": round(self.seconds, 3),
            "models": {
                judged.name: {"label": judged.label, **judged.scores.to_json()} for judged in self.models
            },
            "difference": {name: value.to_json() for name, value in self.differences.items()},
            "worst": [self._beside(number) for number in self.worst(worst)],
        }

    def worst(self, count: int) -> list[int]:
        """Numbers of the questions the first model got wrong, the least alike first."""
        if not self.models:
            return []
        wrong = [answer for answer in self.models[0].answers if not answer.exact]
        wrong.sort(key=lambda answer: (answer.normalised, answer.stopped, _likeness(answer)))
        return [answer.question for answer in wrong[:count]]

    def _beside(self, number: int) -> dict[str, Any]:
        first = self.models[0].answers[number]
        return {
            "row": first.row,
            "prompt": self.questions[number],
            "expected": first.expected,
            "answers": {judged.name: judged.answers[number].text for judged in self.models},
        }


def contenders(subject: Subject, against: Subject | None) -> list[Contender]:
    """The subject itself first. Against its own base costs no second model where PEFT can switch."""
    if subject.adapter is None and subject.base_folder is None:
        own = [Contender(BASE, subject, BASE)]
    else:
        own = [Contender(TUNED, subject, TUNED)]
    if against is None:
        return own
    name = BASE if against == base_of(subject) else against.label
    if name == BASE and subject.adapter is not None:
        return [*own, Contender(BASE, subject, BASE)]
    return [*own, Contender(name, against, TUNED if _was_tuned(against) else BASE)]


def evaluate(
    subject: Subject,
    rows_folder: Path,
    *,
    data: str,
    out: Path,
    against: Subject | None = None,
    limit: int | None = None,
    max_tokens: int | None = None,
    batch_size: int = 16,
    generate: bool = True,
    form: str = "",
    progress: Callable[[Any], None] = lambda value: None,
) -> Evaluation:
    """Evaluate on prepared rows and write `report.json`, `report.md` and pictures into a folder under `out`.

    `rows_folder` is a prepared folder (input_ids, labels, row). `progress` is told {"who", "what", "done", "total",
    "eta_seconds"}. `form` ("json" or "re:PATTERN") is what every answer should look like. Raises TunedeckError if there is nothing to evaluate on or a model cannot be loaded.
    """
    began = time.perf_counter()
    check_form(form)
    rows = read_rows(rows_folder, limit)
    if not rows:
        raise TunedeckError("no row holds a label", where=data, fix="check the data: tunedeck check")
    asked = questions(rows) if generate else []
    room = max_tokens or max((len(q.expected_ids) for q in asked), default=0) + MAX_TOKENS_MARGIN
    folder = out / f"{_name(data)}-{_digest(rows, asked, room)}"
    judged: list[Judged] = []
    texts: tuple[str, ...] = ()
    loaded: LoadedModel | None = None
    for contender in contenders(subject, against):
        if loaded is None or loaded.subject != contender.subject:
            loaded = None  # give the memory back before the next model is loaded
            loaded = load(contender.subject)
        texts = texts or tuple(loaded.tokenizer.decode(list(q.prompt_ids)) for q in asked)
        ledger = Ledger(folder / f"{_name(contender.name)}-{fingerprint(contender)}.jsonl")
        judged.append(_judge(contender, loaded, rows, asked, room, batch_size, form, ledger, progress))
    evaluation = Evaluation(
        data, folder, tuple(judged), differences(judged), texts, time.perf_counter() - began
    )
    from core.chat.report import write_report

    write_report(evaluation)
    return evaluation


def differences(judged: Sequence[Judged]) -> dict[str, Difference]:
    """First minus second, for loss (by token), exact match, normalised match and stop rate."""
    if len(judged) < 2:
        return {}
    one, other = judged[:2]
    found = {
        "loss": paired_difference(
            [row.loss_sum / row.tokens for row in one.losses],
            [row.loss_sum / row.tokens for row in other.losses],
            [row.tokens for row in one.losses],
        )
    }
    for name, values in (
        ("exact_match", lambda answer: answer.exact),
        ("normalised_match", lambda answer: answer.normalised),
        ("stop_rate", lambda answer: answer.stopped),
    ):
        found[name] = paired_difference(
            [values(answer) for answer in one.answers], [values(answer) for answer in other.answers]
        )
    return {name: value for name, value in found.items() if value is not None}


def fingerprint(contender: Contender) -> str:
    """Changes when the weights that answer change: names, sizes and times of their files, and who speaks."""
    subject = contender.subject
    parts = [contender.voice, subject.dtype, subject.quantization]
    for folder in (subject.model_folder, subject.adapter if contender.voice != BASE else None):
        for path in sorted(folder.glob("*")) if folder is not None else []:
            if path.suffix in (".safetensors", ".bin", ".json", ".jinja"):
                stat = path.stat()
                parts.append(f"{path.name}:{stat.st_size}:{stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def _judge(
    contender: Contender,
    loaded: LoadedModel,
    rows: Sequence[ScoredRow],
    asked: Sequence[Question],
    room: int,
    batch_size: int,
    form: str,
    ledger: Ledger,
    progress: Callable[[Any], None],
) -> Judged:
    known_losses, known_answers = ledger.read()
    by_index = {
        entry["index"]: RowLoss(**entry["loss"]) for entry in known_losses if entry["index"] < len(rows)
    }
    said = {
        entry["question"]: tuple(entry["ids"]) for entry in known_answers if entry["question"] < len(asked)
    }
    with speaking_as(loaded, contender.voice), ledger:
        open_rows = [index for index in range(len(rows)) if index not in by_index]
        told = _Progress(contender.name, "loss", len(rows), len(by_index), progress)
        for start in range(0, len(open_rows), LOSS_ROWS):
            part = open_rows[start : start + LOSS_ROWS]
            for index, loss in zip(part, row_losses(loaded.model, [rows[i] for i in part]), strict=True):
                by_index[index] = loss
                ledger.write({"index": index, "loss": asdict(loss)})
            told.add(len(part))
        # Longest first: like lengths share a batch, and the first batch shows whether memory suffices.
        open_questions = sorted((q for q in asked if q.number not in said), key=lambda q: -len(q.prompt_ids))
        told = _Progress(contender.name, "answers", len(asked), len(said), progress)
        for start in range(0, len(open_questions), batch_size):
            batch = open_questions[start : start + batch_size]
            got = answers(
                loaded.model,
                loaded.tokenizer,
                [question.prompt_ids for question in batch],
                max_tokens=room,
                stop_ids=loaded.stop_ids,
                batch_size=batch_size,
            )
            for question, ids in zip(batch, got, strict=True):
                said[question.number] = ids
                ledger.write({"question": question.number, "ids": list(ids)})
            told.add(len(batch))
    losses = tuple(by_index[index] for index in range(len(rows)))
    marked = tuple(_marked(question, said[question.number], loaded, form) for question in asked)
    return Judged(contender.name, contender.subject.label, scores(losses, marked), losses, marked)


def _marked(question: Question, ids: tuple[int, ...], loaded: LoadedModel, form: str) -> Marked:
    content = without_stop(ids, loaded.stop_ids)
    expected = without_stop(question.expected_ids, loaded.stop_ids)
    return mark(
        question.number,
        question.row,
        content,
        text_of(loaded.tokenizer, content),
        text_of(loaded.tokenizer, expected),
        stopped=len(content) < len(ids),
        form=form,
    )


class _Progress:
    """Tells how far it is, with the time that is left at the pace so far."""

    def __init__(self, who: str, what: str, total: int, done: int, tell: Callable[[Any], None]) -> None:
        self._who, self._what, self._total, self._done, self._tell = who, what, total, done, tell
        self._began, self._before = time.perf_counter(), done

    def add(self, count: int) -> None:
        self._done += count
        pace = (time.perf_counter() - self._began) / (self._done - self._before)
        self._tell(
            {
                "who": self._who,
                "what": self._what,
                "done": self._done,
                "total": self._total,
                "eta_seconds": pace * (self._total - self._done),
            }
        )


def _was_tuned(subject: Subject) -> bool:
    return subject.adapter is not None or subject.base_folder is not None


def _likeness(answer: Marked) -> float:
    import difflib

    return difflib.SequenceMatcher(None, answer.text[:2000], answer.expected[:2000]).ratio()


def _name(text: str) -> str:
    import re

    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(text).name).strip("-.") or "data"


def _digest(rows: Sequence[ScoredRow], asked: Sequence[Question], room: int) -> str:
    digest = hashlib.sha256(f"{len(asked)} {room}".encode())
    for row in rows:
        digest.update(repr((row.row, row.input_ids, row.labels)).encode())
    return digest.hexdigest()[:8]
