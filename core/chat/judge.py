"""One contender judged: losses of every row, an answer to every question, each written down as it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from core.chat.contenders import Contender
from core.chat.general import MAX_TOKENS, GeneralAnswer, general_prompts, is_right
from core.chat.generate import answers
from core.chat.judged import Judged
from core.chat.ledger import Ledger
from core.chat.load import LoadedModel
from core.chat.losses import row_losses
from core.chat.metrics import Marked, RowLoss, mark, scores
from core.chat.prompt import chat_prompt, plain_prompt
from core.chat.questions import Question, ScoredRow, text_of, without_stop
from core.chat.voices import speaking_as

LOSS_ROWS = 64  # rows between two lines of progress


@dataclass(frozen=True, slots=True)
class Asking:
    """How answers are generated: new tokens at most, answers at once, the form they should have."""

    room: int
    batch_size: int
    form: str = ""
    general: bool = False


def judge(
    contender: Contender,
    loaded: LoadedModel,
    rows: Sequence[ScoredRow],
    asked: Sequence[Question],
    how: Asking,
    ledger: Ledger,
    tell: Callable[[Any], None],
) -> Judged:
    """Everything that the ledger does not hold yet is done; what it holds is taken as it is."""
    with speaking_as(loaded, contender.voice), ledger:
        losses = _losses(contender, loaded, rows, ledger, tell)
        said = _said(
            "question", "answers", contender, loaded, {q.number: q.prompt_ids for q in asked},
            how.room, how.batch_size, ledger, tell,
        )  # fmt: skip
        prompts = general_prompts() if how.general and not contender.shots else ()
        general = _said(
            "general", "general prompts", contender, loaded,
            {number: _general_ids(loaded, prompt.prompt) for number, prompt in enumerate(prompts)},
            MAX_TOKENS, how.batch_size, ledger, tell,
        )  # fmt: skip
    marked = tuple(_marked(question, said[question.number], loaded, how.form) for question in asked)
    return Judged(
        contender.name,
        contender.label,
        scores(losses, marked),
        losses,
        marked,
        tuple(_general(prompt, general[number], loaded) for number, prompt in enumerate(prompts)),
    )


def _losses(
    contender: Contender,
    loaded: LoadedModel,
    rows: Sequence[ScoredRow],
    ledger: Ledger,
    tell: Callable[[Any], None],
) -> tuple[RowLoss, ...]:
    known = {
        entry["index"]: RowLoss(**entry["loss"])
        for entry in ledger.entries("loss")
        if entry["index"] < len(rows)
    }
    still = [index for index in range(len(rows)) if index not in known]
    told = _Progress(contender.name, "loss", len(rows), len(known), tell)
    for part in _parts(still, LOSS_ROWS):
        for index, loss in zip(part, row_losses(loaded.model, [rows[i] for i in part]), strict=True):
            known[index] = loss
            ledger.write({"index": index, "loss": asdict(loss)})
        told.add(len(part))
    return tuple(known[index] for index in range(len(rows)))


def _said(
    key: str,
    what: str,
    contender: Contender,
    loaded: LoadedModel,
    prompts: dict[int, Sequence[int]],
    room: int,
    batch_size: int,
    ledger: Ledger,
    tell: Callable[[Any], None],
) -> dict[int, tuple[int, ...]]:
    """The ids of every answer, by the number of its prompt."""
    said = {entry[key]: tuple(entry["ids"]) for entry in ledger.entries(key) if entry[key] in prompts}
    # Longest first: like lengths share a batch, and the first batch shows whether memory suffices.
    still = sorted((number for number in prompts if number not in said), key=lambda n: -len(prompts[n]))
    told = _Progress(contender.name, what, len(prompts), len(said), tell)
    for batch in _parts(still, batch_size):
        got = answers(
            loaded.model,
            loaded.tokenizer,
            [prompts[number] for number in batch],
            max_tokens=room,
            stop_ids=loaded.stop_ids,
            batch_size=batch_size,
        )
        for number, ids in zip(batch, got, strict=True):
            said[number] = ids
            ledger.write({key: number, "ids": list(ids)})
        told.add(len(batch))
    return said


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


def _general_ids(loaded: LoadedModel, prompt: str) -> tuple[int, ...]:
    if getattr(loaded.tokenizer, "chat_template", None):
        return chat_prompt(loaded.tokenizer, [{"role": "user", "content": prompt}]).ids
    return plain_prompt(loaded.tokenizer, f"Question: {prompt}\nAnswer:").ids


def _general(prompt: Any, ids: tuple[int, ...], loaded: LoadedModel) -> GeneralAnswer:
    content = without_stop(ids, loaded.stop_ids)
    text = text_of(loaded.tokenizer, content).strip()
    if not getattr(loaded.tokenizer, "chat_template", None):
        text = text.partition("\n")[0]  # a model of plain text goes on with questions of its own
    return GeneralAnswer(text, len(content) < len(ids), is_right(prompt, text))


def _parts(numbers: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]


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
