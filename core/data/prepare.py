"""The whole set, made ready for the trainer: one pass to Arrow, with a report. Cached by what decides it."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.data.behind import Ahead, Behind
from core.data.convert import to_conversation
from core.data.drafting import Draft, Drafter
from core.data.encode import Encoder
from core.data.encoders import choose_encoder, exact_encoder
from core.data.gigatoken_encoder import Disagreement
from core.data.lookup import known_digest, libraries, remember
from core.data.outcome import findings_of
from core.data.render import limits
from core.data.rowpass import (
    Kept,
    Outcome,
    Seconds,
    cut_length,
    draft_rows,
    kept_rows,
    label_drafts,
    note_problem,
)
from core.data.rows import Rows, read_rows, require_rows
from core.data.saved import SavedRows, divide
from core.data.split import hold_out, prompt_key
from core.data.templates import choose_template
from core.data.tokenizer import load_tokenizer
from core.data.types import Conversation, Finding, RowProblem
from core.errors import TunedeckError
from core.recipe import Recipe
from core.workspace import cache_folder, write_json_atomically

# Raised when the same inputs would give other rows, so that older caches are not used.
PREPARATION_VERSION = 3
BATCH_ROWS = 1024
_SAMPLE_ROWS = 64
_KEPT_PREPARATIONS = 30
_QUANTILES = {
    "min": 0.0,
    "p5": 0.05,
    "p25": 0.25,
    "p50": 0.5,
    "p75": 0.75,
    "p95": 0.95,
    "p99": 0.99,
    "max": 1.0,
}


@dataclass(frozen=True, slots=True)
class PrepareProgress:
    """How far a preparation has come, in rows."""

    done: int
    total: int
    eta_seconds: float


@dataclass(frozen=True)
class Prepared:
    """A set ready to train: folders that `datasets.load_from_disk` reads, and what is in them.

    `rows` are those of the source, `examples` those that are trained, `tokens` and `trained_tokens` their
    sums, `lengths` quantiles of their token counts. `seconds`: render, encode, label, write, total.
    """

    folder: Path
    eval_folder: Path | None
    rows: int
    examples: int
    eval_examples: int
    tokens: int
    trained_tokens: int
    longest: int
    lengths: dict[str, float]
    findings: tuple[Finding, ...]
    engine: str
    seconds: dict[str, float]
    cached: bool
    digest: str

    def to_json(self) -> dict[str, Any]:
        """The shape that `tunedeck prepare --json` prints and report.json holds."""
        report = asdict(self)
        report["folder"] = str(self.folder)
        report["eval_folder"] = str(self.eval_folder) if self.eval_folder else None
        report["findings"] = [
            {**asdict(item), "rows": list(item.rows), "count": item.count} for item in self.findings
        ]
        return report


Progress = Callable[[PrepareProgress], Any]


def prepare(
    recipe: Recipe,
    model_folder: Path,
    out: Path | None,
    progress: Progress | None = None,
    *,
    workspace: Path | None = None,
    cache: bool = True,
) -> Prepared:
    """Prepare the recipe's rows into `out` (the cache, where None): folders train/ and eval/, report.json.

    The same rows, tokenizer, template and data section give the same folder again from the cache, at once;
    without `cache` they are prepared afresh and not kept.
    Raises TunedeckError where the source, the tokenizer or the template cannot be used, or nothing is left
    to train on.
    """
    started = time.perf_counter()
    data = recipe.data
    rows = read_rows(data.source, workspace, data)
    require_rows(rows, data.source)
    eval_rows = read_rows(data.eval_source, workspace, data) if data.eval_source else None
    known = known_digest(recipe, model_folder, rows, eval_rows, workspace) if cache else None
    if known is not None and (prepared := _from_cache(known, out, started)) is not None:
        return prepared
    tokenizer = load_tokenizer(model_folder, trust_remote_code=recipe.model.trust_remote_code)
    drafter = Drafter(data, tokenizer, choose_template(data.template, tokenizer, workspace))
    digest = Ahead(lambda: _digest(recipe, drafter, rows, eval_rows))
    if cache:
        remember(recipe, model_folder, rows, eval_rows, digest.value, workspace)
        if (prepared := _from_cache(digest.value, out, started)) is not None:
            return prepared
    out = out or _kept(digest.value)
    encoder = choose_encoder(tokenizer, sample_texts(rows, recipe, drafter), len(rows))
    gc.freeze()  # what is loaded by now stays: collections during the pass need not walk it
    try:
        prepared = _prepare_afresh(recipe, drafter, encoder, rows, eval_rows, out, digest, started, progress)
    except Disagreement:
        exact = exact_encoder(tokenizer)
        prepared = _prepare_afresh(recipe, drafter, exact, rows, eval_rows, out, digest, started, progress)
    finally:
        gc.unfreeze()
    if cache and _kept(digest.value) != out:
        _copy(out, _kept(digest.value))
    _forget_oldest(cache_folder() / "prepared")
    return prepared


def _kept(digest: str) -> Path:
    """Where the preparation of this digest is kept."""
    return cache_folder() / "prepared" / digest


def _from_cache(digest: str, out: Path | None, started: float) -> Prepared | None:
    """An earlier preparation under this digest, put into `out`."""
    kept = _kept(digest)
    if not (kept / "report.json").exists():
        return None
    if out is not None and out != kept:
        _copy(kept, out)
    return _read_report(out or kept, time.perf_counter() - started)


def _forget_oldest(cache: Path) -> None:
    """Keep the newest preparations; files that a run links to stay with the run."""
    with contextlib.suppress(OSError):
        for folder in sorted(cache.iterdir(), key=lambda item: item.stat().st_mtime)[:-_KEPT_PREPARATIONS]:
            shutil.rmtree(folder, ignore_errors=True)


def read_prepared(folder: Path) -> Prepared:
    """What an earlier preparation into `folder` reported. Raises TunedeckError where there is none."""
    return _read_report(folder, 0.0)


def _prepare_afresh(
    recipe: Recipe,
    drafter: Drafter,
    encoder: Encoder,
    rows: Rows,
    eval_rows: Rows | None,
    out: Path,
    digest: Ahead[str],
    started: float,
    progress: Progress | None,
) -> Prepared:
    fraction = recipe.data.eval_fraction if eval_rows is None else 0.0
    seconds, outcome, counts = Seconds(), Outcome(), _Counts()
    out.mkdir(parents=True, exist_ok=True)
    with SavedRows(out / "train") as train, SavedRows(out / "eval") as evaluation:
        meter = _Meter(len(rows) + (len(eval_rows) if eval_rows is not None else 0), started, progress)
        finish = _Finish(drafter, encoder, cut_length(recipe.data), seconds)
        with Behind(finish) as behind:
            for conversations in _conversations(rows, recipe, outcome, meter):
                drafts = draft_rows(conversations, drafter, seconds)
                keys = [prompt_key(item) for item in conversations] if fraction else []
                behind.put(_Batch(drafts, keys, train, outcome, counts))
            for conversations in _conversations(eval_rows, recipe, Outcome(), meter):
                drafts = draft_rows(conversations, drafter, seconds)
                behind.put(_Batch(drafts, [], evaluation, Outcome(), _Counts()))
        if not train.rows:
            raise TunedeckError(_nothing_left(outcome, len(rows)), where=str(recipe.data.source))
        held = hold_out(np.concatenate(counts.keys), fraction, recipe.training.seed) if fraction else None
        writing = time.perf_counter()
        if held is not None and held.any():
            divide(train, held, evaluation)
        train.finish(digest.value)
        if evaluation.rows:
            evaluation.finish(digest.value[::-1])
        seconds.write += time.perf_counter() - writing
    seconds.total = time.perf_counter() - started
    lengths, trained = np.concatenate(counts.lengths), np.concatenate(counts.trained)
    if held is not None:
        lengths, trained = lengths[~held], trained[~held]
    prepared = Prepared(
        folder=out / "train",
        eval_folder=out / "eval" if evaluation.rows else None,
        rows=len(rows),
        examples=train.rows,
        eval_examples=evaluation.rows,
        tokens=int(lengths.sum()),
        trained_tokens=int(trained.sum()),
        longest=int(lengths.max()),
        lengths=length_quantiles(lengths),
        findings=findings_of(outcome, recipe.data.max_length),
        engine=encoder.name,
        seconds=asdict(seconds),
        cached=False,
        digest=digest.value,
    )
    write_json_atomically(out / "report.json", prepared.to_json())
    return prepared


def sample_texts(rows: Rows, recipe: Recipe, drafter: Drafter) -> list[str]:
    """Texts from all over the source, to choose the encoder by."""
    step = max(1, len(rows) // min(_SAMPLE_ROWS, max(8, len(rows) // 100)))
    found = [to_conversation(rows[number], recipe.data) for number in range(0, len(rows), step)]
    with limits():
        return [drafter.draft(item).text for item in found if isinstance(item, Conversation)]


def length_quantiles(lengths: np.ndarray) -> dict[str, float]:
    """Quantiles of token counts, and their mean."""
    values = {name: float(np.quantile(lengths, share)) for name, share in _QUANTILES.items()}
    return {**values, "mean": float(lengths.mean())}


class _Counts:
    """Per kept row of the source: tokens, trained tokens, and the key of its prompt."""

    def __init__(self) -> None:
        self.lengths: list[np.ndarray] = []
        self.trained: list[np.ndarray] = []
        self.keys: list[np.ndarray] = []

    def add(self, kept: Kept, batch: _Batch) -> None:
        self.lengths.append(kept.lengths)
        self.trained.append(kept.trained)
        if batch.keys:
            key_of = {draft.row: key for draft, key in zip(batch.drafts, batch.keys, strict=True)}
            self.keys.append(np.asarray([key_of[row] for row in kept.rows.tolist()], dtype=np.int64))


@dataclass(frozen=True, slots=True)
class _Batch:
    """Drafts on their way to tokens, and where what becomes of them goes."""

    drafts: list[Draft]
    keys: list[int]
    saved: SavedRows
    outcome: Outcome
    counts: _Counts


@dataclass(frozen=True, slots=True)
class _Finish:
    """The second half of every batch: encode, label, cut, write."""

    drafter: Drafter
    encoder: Encoder
    max_length: int | None
    seconds: Seconds

    def __call__(self, batch: _Batch) -> None:
        labelled = label_drafts(batch.drafts, self.drafter, self.encoder, self.seconds)
        started = time.perf_counter()
        kept = kept_rows(labelled, self.max_length, batch.outcome)
        batch.counts.add(kept, batch)
        writing = time.perf_counter()
        batch.saved.write(kept.ids, kept.labels, kept.rows, kept.lengths)
        self.seconds.label += writing - started
        self.seconds.write += time.perf_counter() - writing


class _Meter:
    """Tells how far the pass has come, and when it will be done at this rate."""

    def __init__(self, total: int, started: float, progress: Progress | None) -> None:
        self._total = total
        self._started = started
        self._progress = progress
        self._done = 0

    def more(self, rows: int) -> None:
        self._done += rows
        if self._progress is not None:
            passed = time.perf_counter() - self._started
            eta_seconds = passed / self._done * (self._total - self._done) if self._done else 0.0
            self._progress(PrepareProgress(self._done, self._total, eta_seconds))


def _conversations(
    rows: Rows | None, recipe: Recipe, outcome: Outcome, meter: _Meter
) -> Iterator[list[Conversation]]:
    for batch in rows.batches(BATCH_ROWS) if rows is not None else ():
        found = []
        for row in batch:
            conversation = to_conversation(row, recipe.data)
            if isinstance(conversation, RowProblem):
                note_problem(conversation, outcome)
            else:
                found.append(conversation)
        yield found
        meter.more(len(batch))


def _nothing_left(outcome: Outcome, rows: int) -> str:
    reasons = sorted(outcome.problems.items(), key=lambda item: -len(item[1]))
    if not reasons:
        return f"none of the {rows} rows is left to train on"
    code, where = reasons[0]
    first, why = where[0]
    return f"none of the {rows} rows can be trained; {len(where)} of them: {why} ({code}, first: row {first})"


def _digest(recipe: Recipe, drafter: Drafter, rows: Rows, eval_rows: Rows | None) -> str:
    parts = {
        "version": PREPARATION_VERSION,
        "rows": rows.fingerprint,
        "eval": eval_rows.fingerprint if eval_rows is not None else None,
        "data": recipe.data.model_dump(mode="json", exclude={"packing", "max_length"}),
        "cut": cut_length(recipe.data),
        "seed": recipe.training.seed,
        "libraries": libraries(),
        "date": time.strftime("%Y-%m-%d") if drafter.template and drafter.template.reads_clock else None,
        **drafter.state(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _copy(source: Path, target: Path) -> None:
    """Put a prepared folder in another place; files are linked where the disk allows, and never changed."""
    target.mkdir(parents=True, exist_ok=True)
    for folder in ("train", "eval"):
        if (target / folder).exists():
            shutil.rmtree(target / folder)
        if (source / folder).exists():
            shutil.copytree(source / folder, target / folder, copy_function=_link)
    shutil.copyfile(source / "report.json", target / "report.json")


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


def _read_report(folder: Path, seconds: float) -> Prepared:
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TunedeckError(
            f"no readable report: {error}", where=str(folder / "report.json"), fix="prepare the rows again"
        ) from None
    report["folder"] = folder / "train"
    report["eval_folder"] = folder / "eval" if report["eval_folder"] else None
    report["findings"] = tuple(
        Finding(item["code"], item["severity"], tuple(item["rows"]), item["cause"], item["fix"])
        for item in report["findings"]
    )
    report["cached"] = True
    report["seconds"] = {**report["seconds"], "total": seconds}
    return Prepared(**report)
