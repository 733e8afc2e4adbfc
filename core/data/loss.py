"""What `data.loss_on` means for one row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.data.types import Conversation
from core.recipe import DataSection

Mode = Literal["assistant", "last", "completion", "all", "roles", "flags", "response-template", "given"]

_SPAN_MODES = frozenset({"assistant", "last", "roles", "flags"})
_OF_CONVERSATIONS = _SPAN_MODES


@dataclass(frozen=True, slots=True)
class Loss:
    """The mode of one row. `completion_from`: the first message of the completion, where there is one."""

    mode: Mode
    roles: frozenset[str] = frozenset()
    completion_from: int | None = None
    code: str = ""
    problem: str = ""

    @property
    def needs_spans(self) -> bool:
        return self.mode in _SPAN_MODES

    def takes_every_turn(self, conversation: Conversation) -> bool:
        """Whether all that the markers enclose is trained, so that no turn has to be told from another."""
        return self.mode == "assistant"

    def wants(self, conversation: Conversation, message: int) -> bool:
        """Whether this message's turn carries loss."""
        entry = conversation.messages[message]
        if self.mode == "assistant":
            return entry.role == "assistant"
        if self.mode == "last":
            return message == last_assistant(conversation)
        if self.mode == "roles":
            return entry.role in self.roles
        if entry.train is not None:
            return entry.train
        if entry.weight is not None:
            return entry.weight > 0
        return entry.role == "assistant"


def loss_of(conversation: Conversation, section: DataSection) -> Loss:
    """The mode for this row: `auto` follows its kind; a mode that its kind cannot serve is a problem in words."""
    kind, wanted = conversation.kind, section.loss_on
    if kind == "preference":
        return Loss(
            "all",
            code="preference-rows",
            problem="a preference pair has two answers; supervised fine-tuning has no use for the rejected one",
        )
    if kind == "tokens":
        return Loss("given")
    if wanted == "auto":
        wanted = {"messages": "assistant", "text": "all"}.get(kind, "completion")  # type: ignore[assignment]
    if kind in ("text", "text-completion") and (
        wanted in _OF_CONVERSATIONS or (wanted == "completion" and kind == "text")
    ):
        what = "has no completion apart" if wanted == "completion" else "is no conversation"
        return Loss(
            "all", code="loss-on-impossible", problem=f'the row {what}, so loss_on = "{wanted}" finds nothing'
        )
    start = conversation.completion_from
    if wanted == "completion" and kind == "messages":
        start = len(conversation.messages) - 1
        if start < 0 or conversation.messages[start].role != "assistant":
            return Loss(
                "all",
                code="no-trained-token",
                problem="the conversation does not end with an answer, so it has no completion",
            )
    return Loss(wanted, frozenset(section.roles), start)  # type: ignore[arg-type]


def last_assistant(conversation: Conversation) -> int:
    """Index of the last assistant message, -1 where there is none."""
    for index in range(len(conversation.messages) - 1, -1, -1):
        if conversation.messages[index].role == "assistant":
            return index
    return -1
