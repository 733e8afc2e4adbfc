"""Every finding over a whole set, and its figures: what `tunedeck check` prints and the Data panel shows.

The rows go through the same draft, encoding and labels as in preparation; the checks only look.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.data.checks.encoding import encoding_notes
from core.data.checks.facts import ModelFacts, Note, RowFacts
from core.data.checks.findings import findings_of, root_causes
from core.data.checks.labels import label_notes
from core.data.checks.model import model_facts, model_notes
from core.data.checks.refused import refused, untrained
from core.data.checks.set_wide import SetFacts, set_notes
from core.data.checks.structure import structure_notes
from core.data.checks.template import field_texts, template_notes
from core.data.checks.tokens import token_notes
from core.data.convert import conversations, to_conversation
from core.data.drafting import Drafter
from core.data.encode import Encoder
from core.data.encoders import choose_encoder, exact_encoder
from core.data.gigatoken_encoder import Disagreement
from core.data.kept_checks import keep, kept_fields, report_place
from core.data.parts import rendering_of
from core.data.prepare import sample_texts
from core.data.render import limits
from core.data.rowpass import Labelled, cut_length, label_conversations
from core.data.rows import Rows, read_rows, require_rows
from core.data.split import hold_out, prompt_key
from core.data.statistics import Cut, Lengths, cut_at, histogram, summary
from core.data.templates import choose_template
from core.data.tokenizer import load_tokenizer
from core.data.types import IGNORED, Conversation, Finding, RowProblem
from core.recipe import Recipe

BATCH_ROWS = 512
HISTOGRAM_BARS = 10


@dataclass(frozen=True, slots=True)
class CheckProgress:
    """How far a check has come, in rows."""

    done: int
    total: int
    eta_seconds: float


@dataclass(frozen=True)
class CheckReport:
    """What was found. `examples`, `tokens` and `trained_tokens` are those the trainer gets, after the cut."""

    rows: int
    examples: int
    eval_examples: int
    tokens: int
    trained_tokens: int
    engine: str
    seconds: dict[str, float]
    findings: tuple[Finding, ...]
    lengths: Lengths  # of every row that has tokens, before the cut
    notes: tuple[str, ...]  # how the source was opened
    cached: bool = False  # taken from an earlier check of the same rows, model and settings

    def worst(self) -> str:
        """The gravest severity found, or an empty text."""
        return self.findings[0].severity if self.findings else ""

    def to_json(self, recipe: Recipe) -> dict[str, Any]:
        """The shape of `tunedeck check --json`; documented in docs/data.md. `recipe` is the one that was checked."""
        figures = summary(self.lengths)
        cut = cut_at(self.lengths, recipe.data.max_length, seed=recipe.training.seed)
        sequences = self.sequences(recipe.data.packing, cut)
        counts, edges = histogram(self.lengths, HISTOGRAM_BARS)
        return {
            "rows": self.rows,
            "examples": self.examples,
            "eval_examples": self.eval_examples,
            "tokens": self.tokens,
            "trained_tokens": self.trained_tokens,
            "engine": self.engine,
            "cached": self.cached,
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
            "findings": [
                {
                    "code": item.code,
                    "severity": item.severity,
                    "count": item.count,
                    "scope": "rows" if item.rows else "set",
                    "rows": list(item.rows),
                    "cause": item.cause,
                    "fix": item.fix,
                }
                for item in self.findings
            ],
            "lengths": figures.quantiles,
            "before_cut": figures.to_json(),
            "histogram": {"edges": edges.tolist(), "rows": counts.tolist()},
            "cut": cut.to_json(),
            "sequences": sequences,
            "steps_per_epoch": recipe.steps_per_epoch(sequences),
            "steps": recipe.steps(sequences),
        }

    def sequences(self, packing: str, cut: Cut) -> int:
        """What an epoch draws from: rows, or packs at the length of `cut`."""
        return self.examples if packing == "none" else cut.packs[packing]


def check(
    recipe: Recipe,
    model_folder: Path,
    progress: Callable[[CheckProgress], Any] | None = None,
    *,
    workspace: Path | None = None,
) -> CheckReport:
    """Check every row of the recipe's source against its model; a check that was made before is read again.

    Raises TunedeckError where the source, the tokenizer or the template cannot be used at all.
    """
    started = time.perf_counter()
    data = recipe.data
    rows = read_rows(data.source, workspace, data)
    require_rows(rows, data.source)
    eval_rows = read_rows(data.eval_source, workspace, data) if data.eval_source else None
    place = report_place(recipe, model_folder, rows, eval_rows, workspace)
    if (kept := _kept_report(place, started)) is not None:
        return kept
    tokenizer = load_tokenizer(model_folder, trust_remote_code=recipe.model.trust_remote_code)
    drafter = Drafter(data, tokenizer, choose_template(data.template, tokenizer, workspace))
    checked = _Checked(recipe, model_facts(recipe, model_folder, drafter), rows, eval_rows, progress, started)
    encoder = choose_encoder(tokenizer, sample_texts(rows, recipe, drafter), len(rows))
    try:
        report = checked.by(encoder)
    except Disagreement:
        report = checked.by(exact_encoder(tokenizer))
    if place is not None:
        keep(place, report)
    return report


def earlier_report(
    recipe: Recipe, model_folder: Path, *, workspace: Path | None = None
) -> CheckReport | None:
    """The kept report of a check of the same rows, model and settings; None if there is none."""
    started = time.perf_counter()
    data = recipe.data
    rows = read_rows(data.source, workspace, data)
    eval_rows = read_rows(data.eval_source, workspace, data) if data.eval_source else None
    return _kept_report(report_place(recipe, model_folder, rows, eval_rows, workspace), started)


def _kept_report(place: Path | None, started: float) -> CheckReport | None:
    fields = None if place is None else kept_fields(place)
    if fields is None:
        return None
    return CheckReport(**{**fields, "cached": True, "seconds": {"total": time.perf_counter() - started}})


@dataclass(frozen=True)
class _Checked:
    """One check: what is looked at, and who is told how far it is."""

    recipe: Recipe
    model: ModelFacts
    rows: Rows
    eval_rows: Rows | None
    progress: Callable[[CheckProgress], Any] | None
    started: float

    def by(self, encoder: Encoder) -> CheckReport:
        """The report, with this encoder. Raises Disagreement where it is not exact."""
        rows, data = self.rows, self.recipe.data
        run = _Run(self.recipe, self.model, encoder)
        for batch in rows.batches(BATCH_ROWS):
            run.add([to_conversation(row, data) for row in batch], {row.number: row.file for row in batch})
            self._tell(batch[-1].number + 1)
        notes = [*run.notes, *set_notes(run.set_facts, self._eval_keys(), self._conversation)]
        with limits():
            notes += model_notes(self.model, data.packing, run.probe)
        trained, held_out = run.trained_rows()
        return CheckReport(
            rows=len(rows),
            examples=len(trained),
            eval_examples=held_out,
            tokens=int(trained[:, 0].sum()),
            trained_tokens=int(trained[:, 1].sum()),
            engine=encoder.name,
            seconds={"total": time.perf_counter() - self.started},
            findings=findings_of(notes, run.problems),
            lengths=run.lengths(),
            notes=rows.notes,
        )

    def _tell(self, done: int) -> None:
        if self.progress is not None:
            passed = time.perf_counter() - self.started
            self.progress(CheckProgress(done, len(self.rows), passed / done * (len(self.rows) - done)))

    def _conversation(self, number: int) -> Conversation:
        found = to_conversation(self.rows[number], self.recipe.data)
        assert isinstance(found, Conversation)  # only rows that were read as one are asked for
        return found

    def _eval_keys(self) -> frozenset[int]:
        """Prompt keys of a separate evaluation source."""
        found = conversations(self.eval_rows, self.recipe.data) if self.eval_rows is not None else ()
        return frozenset(prompt_key(item) for item in found if isinstance(item, Conversation))


class _Run:
    """What a check gathers batch by batch."""

    def __init__(self, recipe: Recipe, model: ModelFacts, encoder: Encoder) -> None:
        self._recipe = recipe
        self._model = model
        self._kept: list[tuple[int, int, int]] = []  # prompt key, tokens and trained tokens after the cut
        self._rows: list[int] = []
        self._tokens: list[int] = []
        self._runs: list[np.ndarray] = []
        self._roles: Counter[str] = Counter()
        self._bos = str(model.tokenizer.special_texts.get("bos_token", ""))
        self.encoder = encoder
        self.notes: list[Note] = []
        self.problems: list[RowProblem] = []
        self.set_facts = SetFacts()
        self.probe: Conversation | None = None

    def add(self, found: list[Conversation | RowProblem], files: dict[int, str]) -> None:
        good: list[Conversation] = []
        for item in found:
            if isinstance(item, RowProblem):
                self.problems.append(item)
            else:
                good.append(item)
                self.set_facts.add(item, files[item.row])
        labelled = label_conversations(good, self._model.drafter, self.encoder, align=True)
        with limits():  # some checks render a row again
            for number, conversation in enumerate(good):
                self.notes += root_causes(self._notes_of(number, conversation, labelled))

    def lengths(self) -> Lengths:
        runs = np.concatenate(self._runs) if self._runs else np.zeros((0, 3), dtype=np.int64)
        return Lengths(
            np.asarray(self._rows, dtype=np.int64),
            np.asarray(self._tokens, dtype=np.int64),
            runs,
            dict(self._roles),
        )

    def trained_rows(self) -> tuple[np.ndarray, int]:
        """Tokens and trained tokens of every row the trainer gets, int64 [examples, 2]; how many are held out."""
        kept = np.asarray(self._kept, dtype=np.int64).reshape(-1, 3)
        data = self._recipe.data
        held = hold_out(
            kept[:, 0], 0.0 if data.eval_source else data.eval_fraction, self._recipe.training.seed
        )
        return kept[~held, 1:], int(held.sum())

    def _notes_of(self, number: int, conversation: Conversation, labelled: Labelled) -> Iterator[Note]:
        draft = labelled.drafts[number]
        yield from structure_notes(conversation, self._model)
        texts = field_texts(conversation)
        yield from encoding_notes(conversation.row, texts)
        if draft.code:
            yield from refused(conversation, draft, self._model)
            return
        facts = self._facts(number, conversation, labelled)
        self._count(facts)
        if self.probe is None and conversation.messages:
            self.probe = conversation
        if not facts.trained.any():
            yield untrained(conversation, draft, len(facts.ids))
        yield from template_notes(facts, self._model)
        yield from token_notes(facts, self._model, texts)
        yield from label_notes(facts, self._model)

    def _facts(self, number: int, conversation: Conversation, labelled: Labelled) -> RowFacts:
        draft, encoded = labelled.drafts[number], labelled.encoded
        tokens = encoded.of(number)
        nothing: np.ndarray = np.zeros(tokens.stop - tokens.start, dtype=np.int64)
        starts, ends = labelled.characters(number) or (nothing, nothing)
        return RowFacts(
            conversation,
            draft,
            rendering_of(draft, self._model.drafter.stops, self._bos),
            encoded.ids[tokens],
            labelled.labels[tokens],
            labelled.labels[tokens] != IGNORED,
            starts,
            ends,
        )

    def _count(self, facts: RowFacts) -> None:
        limit = cut_length(self._recipe.data)
        trained = facts.trained
        index = len(self._rows)
        self._rows.append(facts.row)
        self._tokens.append(len(facts.ids))
        self.set_facts.measure(facts.row, len(facts.ids))
        edges = np.flatnonzero(np.diff(np.concatenate([[False], trained, [False]]).astype(np.int8)))
        runs = edges.reshape(-1, 2)
        self._runs.append(np.column_stack([np.full(len(runs), index), runs]).astype(np.int64))
        if facts.has_places:
            spans = facts.rendering.spans
            firsts = np.atleast_1d(np.searchsorted(facts.starts, [span.start for span in spans])).tolist()
            for span, first, after in zip(spans, firsts, [*firsts[1:], len(facts.ids)], strict=True):
                self._roles[span.role or "template"] += after - first
        kept = int(trained[:limit].sum())
        if kept:
            self._kept.append((prompt_key(facts.conversation), len(trained[:limit]), kept))
