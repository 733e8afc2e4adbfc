"""What a screen asks the workshop for: one row, a page of rows in brief, rows that hold a text, the whole-set check.

Each function takes a recipe and finds the model itself, so that the app imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.data.check import CheckReport, check
from core.data.checks.template import field_texts
from core.data.compare import Pair, compare_rows, under
from core.data.convert import to_conversation
from core.data.encoders import exact_encoder
from core.data.rowpass import cut_length, label_conversations
from core.data.tokenizer import load_tokenizer
from core.data.types import IGNORED, Conversation, RowProblem
from core.data.view import ShownRow, drafter_for, opened, show_row
from core.models.sources import locate
from core.recipe import Recipe
from core.workspace import Workspace

if TYPE_CHECKING:
    from core.data.batch import Batch

_WORDS = 80
_MOST_FOUND = 10_000


@dataclass(frozen=True, slots=True)
class Glance:
    """One row in a list: its first words, its tokens before the cut, and how many of the kept ones are trained."""

    number: int
    words: str
    tokens: int
    kept: int
    trained: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Glances:
    """Some rows in brief, and how many rows the source has, or the first of them that were streamed."""

    total: int
    notes: tuple[str, ...]
    rows: tuple[Glance, ...]
    whole: bool = True  # False: only the first rows of a Hub data set, streamed; it is not on this machine


@dataclass(frozen=True, slots=True)
class Comparison:
    """One row under the recipe (left) and under another setting (right), token by token."""

    setting: str
    left: ShownRow
    right: ShownRow
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """Rows whose text holds a pattern; at most 10,000."""

    pattern: str
    rows: np.ndarray  # int64


def row(recipe: Recipe, number: int, workspace: Path, progress: Any = None) -> ShownRow:
    """`show_row` with the recipe's own model."""
    return show_row(recipe, _folder(recipe, workspace), number, workspace=workspace)


def comparison(
    recipe: Recipe, number: int, setting: str, workspace: Path, progress: Any = None
) -> Comparison:
    """The row as the recipe trains it beside the same row under another `loss_on` or template."""
    left, right = row(recipe, number, workspace), row(under(recipe, setting), number, workspace)
    return Comparison(setting, left, right, compare_rows(left, right))


def glances(recipe: Recipe, numbers: Sequence[int], workspace: Path, progress: Any = None) -> Glances:
    """These rows in brief; numbers beyond the source are left out."""
    rows = opened(recipe.data.source, workspace, recipe.data)
    tokenizer = load_tokenizer(_folder(recipe, workspace), trust_remote_code=recipe.model.trust_remote_code)
    drafter = drafter_for(recipe.data, tokenizer, workspace)
    items = [to_conversation(rows[number], recipe.data) for number in numbers if 0 <= number < len(rows)]
    good = [item for item in items if isinstance(item, Conversation)]
    labelled = label_conversations(good, drafter, exact_encoder(tokenizer))
    brief: list[Glance] = []
    index = 0
    for item in items:
        if isinstance(item, RowProblem):
            brief.append(Glance(item.row, "", 0, 0, 0, item.cause))
            continue
        tokens = labelled.encoded.of(index)
        labels = labelled.labels[tokens]
        kept = labels[: cut_length(recipe.data)]
        trained = int((kept != IGNORED).sum())
        problem = labelled.drafts[index].problem
        brief.append(Glance(item.row, _first_words(item), len(labels), len(kept), trained, problem))
        index += 1
    return Glances(len(rows), rows.notes, tuple(brief), rows.whole)


def find(recipe: Recipe, pattern: str, workspace: Path, progress: Any = None) -> Found:
    """The numbers of all rows whose text holds the pattern, case aside."""
    rows = opened(recipe.data.source, workspace, recipe.data)
    wanted = pattern.casefold()
    numbers: list[int] = []
    for batch in rows.that_may_hold(pattern):
        numbers += [one.number for one in batch if wanted in _plain_text(one.raw).casefold()]
        if len(numbers) >= _MOST_FOUND:
            break
    return Found(pattern, np.asarray(numbers[:_MOST_FOUND], dtype=np.int64))


def batch(recipe: Recipe, number: int, workspace: Path, progress: Any = None) -> Batch:
    """`show_batch` with the recipe's own model."""
    from core.data.batch import show_batch

    return show_batch(recipe, _folder(recipe, workspace), number, progress=progress, workspace=workspace)


def check_set(recipe: Recipe, workspace: Path, progress: Any = None) -> CheckReport:
    """`check` with the recipe's own model."""
    return check(recipe, _folder(recipe, workspace), progress, workspace=workspace)


def _folder(recipe: Recipe, workspace: Path) -> Path:
    return locate(recipe.model.source, recipe.model.revision, Workspace(workspace)).folder


def _first_words(conversation: Conversation) -> str:
    """The first user text, or the beginning of a plain row, on one line."""
    asked = next((str(message.content) for message in conversation.messages if message.role == "user"), "")
    text = asked or " ".join(field_texts(conversation)) or " ".join(map(str, conversation.input_ids[:20]))
    return " ".join(text[: _WORDS * 4].split())[:_WORDS]


def _plain_text(value: Any) -> str:
    """All texts of a record, joined by new lines; an explicit stack, since records nest as deep as they like."""
    texts: list[str] = []
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            texts.append(item)
        elif isinstance(item, dict):
            waiting += reversed(item.values())
        elif isinstance(item, list):
            waiting += reversed(item)
    return "\n".join(texts)
