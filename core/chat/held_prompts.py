"""The prompts of a run's held-out rows with the answers the rows give: what to ask base and tuned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from core.data.convert import to_conversation
from core.data.rows import read_rows
from core.data.types import Conversation, Row
from core.errors import MissingError
from core.runs.folder import Run
from core.workspace import Workspace

MOST_PROMPTS = 500


@dataclass(frozen=True, slots=True)
class HeldPrompt:
    """The first question of a held-out row, and the row's own answer to it."""

    row: int
    prompt: str
    expected: str


def held_prompts(
    folder: Path, workspace: Workspace, progress: Callable[[Any], None] = lambda value: None
) -> list[HeldPrompt]:
    """Up to 500 held-out prompts of the run in `folder`; a job of the workshop.

    Raises MissingError if the run held nothing out, UsageError if its data is gone.
    """
    run = Run(folder)
    data = run.read_recipe().data
    if data.eval_source:
        rows = read_rows(data.eval_source, workspace.root, data).read(0, MOST_PROMPTS)
    else:
        source = read_rows(data.source, workspace.root, data)
        rows = [source[number] for number in _held_out_numbers(run)[:MOST_PROMPTS]]
    found = (_prompt_of(row, to_conversation(row, data)) for row in rows)
    return [prompt for prompt in found if prompt is not None]


def _held_out_numbers(run: Run) -> list[int]:
    """Row numbers of the prepared held-out split."""
    from datasets import load_from_disk

    noted = run.read_json(run.identity).get("data", {}).get("eval_folder")
    if not noted:
        raise MissingError(
            "the run held no rows out",
            where=run.id,
            fix="data.eval_source or data.eval_fraction keeps some aside",
        )
    return [int(number) for number in load_from_disk(str(run.folder / noted))["row"]]


def _prompt_of(row: Row, conversation: Any) -> HeldPrompt | None:
    """The first user turn and the assistant turn after it; None for a row that has no such pair in words."""
    if not isinstance(conversation, Conversation):
        return None
    if conversation.kind == "text-completion":
        return HeldPrompt(row.number, conversation.text, conversation.completion)
    turns = conversation.messages
    for question, answer in pairwise(turns):
        in_words = isinstance(question.content, str) and isinstance(answer.content, str)
        if (question.role, answer.role) == ("user", "assistant") and in_words:
            return HeldPrompt(row.number, question.content, answer.content)
    return None
