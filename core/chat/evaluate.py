"""Base against tuned on held-out rows: loss over labelled tokens, and every answer generated and compared.

Heavy: runs in a process of its own, for example through the workshop. Every finished row is written
down at once, so an evaluation that was stopped goes on where it ended.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from core.chat.contenders import contenders, fingerprint, questions_after, rows_after, with_examples
from core.chat.judge import Asking, judge
from core.chat.judged import Evaluation, Judged
from core.chat.ledger import Ledger
from core.chat.load import LoadedModel, load
from core.chat.metrics import Difference, check_form, paired_difference
from core.chat.questions import Question, ScoredRow, questions, read_rows
from core.chat.report import write_report
from core.chat.subject import Subject
from core.errors import TunedeckError

MAX_TOKENS_MARGIN = 64  # room beyond the longest expected answer, to see whether the model stops by itself


def evaluate(
    subject: Subject,
    rows_folder: Path,
    *,
    data: str,
    out: Path,
    against: Subject | None = None,
    shots: int = 0,
    examples_folder: Path | None = None,
    general: bool = False,
    limit: int | None = None,
    max_tokens: int | None = None,
    batch_size: int = 16,
    generate: bool = True,
    form: str = "",
    progress: Callable[[Any], None] = lambda value: None,
) -> Evaluation:
    """Evaluate on prepared rows and write `report.json`, `report.md` and pictures into a folder under `out`.

    `rows_folder` is a prepared folder (input_ids, labels, row). `shots` lets the base answer once more with that many
    rows of `examples_folder` before every prompt. `general` also asks the fixed set of general prompts. `form`
    ("json" or "re:PATTERN") is what every answer should look like. `progress` is told {"who", "what", "done", "total",
    "eta_seconds"}. Raises TunedeckError if there is nothing to evaluate on or a model cannot be loaded.
    """
    began = time.perf_counter()
    check_form(form)
    rows = read_rows(rows_folder, limit)
    if not rows:
        raise TunedeckError("no row holds a label", where=data, fix="check the data: tunedeck check")
    asked = questions(rows) if generate else []
    room = max_tokens or max((len(q.expected_ids) for q in asked), default=0) + MAX_TOKENS_MARGIN
    how = Asking(room, batch_size, form, general and generate)
    folder = out / f"{_name(data)}-{_digest(rows, asked, room)}"
    judged: list[Judged] = []
    texts: tuple[str, ...] = ()
    loaded: LoadedModel | None = None
    for contender in contenders(subject, against, shots):
        if loaded is None or loaded.subject != contender.subject:
            loaded = None  # give the memory back before the next model is loaded
            loaded = load(contender.subject)
        texts = texts or tuple(loaded.tokenizer.decode(list(q.prompt_ids)) for q in asked)
        its_rows, its_questions = list(rows), list(asked)
        if contender.shots:
            bos = loaded.tokenizer.bos_token_id
            longest = max(len(row.input_ids) for row in rows) + room
            examples = read_rows(examples_folder) if examples_folder is not None else []
            contender = with_examples(contender, examples, bos, longest, loaded.context_length)
            its_rows = rows_after(rows, contender.examples, bos)
            its_questions = questions_after(asked, contender.examples, bos)
        ledger = Ledger(folder / f"{_name(contender.name)}-{fingerprint(contender)}.jsonl")
        judged.append(judge(contender, loaded, its_rows, its_questions, how, ledger, progress))
    evaluation = Evaluation(
        data,
        folder,
        tuple(judged),
        {other.name: differences(judged[0], other) for other in judged[1:]},
        texts,
        time.perf_counter() - began,
    )
    write_report(evaluation)
    return evaluation


def differences(one: Judged, other: Judged) -> dict[str, Difference]:
    """First minus second, for loss (by token), the rates of answers, and the general prompts that have a rule."""
    found = {
        "loss": paired_difference(
            [row.loss_sum / row.tokens for row in one.losses],
            [row.loss_sum / row.tokens for row in other.losses],
            [row.tokens for row in one.losses],
        )
    }
    for name, field in (
        ("exact_match", "exact"),
        ("normalised_match", "normalised"),
        ("chrf", "chrf"),
        ("stop_rate", "stopped"),
        ("valid_rate", "valid"),
    ):
        ours, theirs = ([getattr(answer, field) for answer in judged.answers] for judged in (one, other))
        if None not in ours and None not in theirs:
            found[name] = paired_difference(ours, theirs)
    if one.general and other.general:
        ours, theirs = (
            [answer.right for answer in judged.general if answer.right is not None] for judged in (one, other)
        )
        found["general_right"] = paired_difference(ours, theirs)
    return {name: value for name, value in found.items() if value is not None}


def _name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(text).name).strip("-.") or "data"


def _digest(rows: Sequence[ScoredRow], asked: Sequence[Question], room: int) -> str:
    digest = hashlib.sha256(f"{len(asked)} {room}".encode())
    for row in rows:
        digest.update(repr((row.row, row.input_ids, row.labels)).encode())
    return digest.hexdigest()[:8]
