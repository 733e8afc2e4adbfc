"""The values that flow between the rooms of `core.data`: row, conversation, rendering, example, finding."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np

IGNORED = -100  # the label of a token that carries no loss (torch's cross_entropy ignore_index)

Severity = Literal["error", "warning", "note"]
Kind = Literal["messages", "prompt-completion", "text", "text-completion", "tokens", "preference"]


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a data source. `number` counts from 0 over the whole source and never changes."""

    number: int
    file: str  # path of the file inside the source
    line: int  # line (text formats) or record (others) in that file, from 1
    raw: Any  # the parsed record; None where it could not be read
    problem: str = ""  # why it could not be read


@dataclass(frozen=True, slots=True)
class RowProblem:
    """Why one row cannot become a conversation. Such a row is not trained; it becomes a finding with its number."""

    row: int
    code: str
    cause: str
    fix: str
    severity: Severity = "error"


class Message(NamedTuple):
    """One turn of a conversation. A named tuple, since a set has millions: it is made in a quarter of the time."""

    role: str
    content: Any  # text, or the typed parts the template will see
    reasoning: str | None = None
    tool_calls: tuple[dict[str, Any], ...] = ()
    extra: dict[str, Any] = {}  # name, tool_call_id, ... handed to the template; never changed  # noqa: RUF012
    train: bool | None = None  # a per-message flag of the data, if it has one
    weight: float | None = None  # a per-message loss weight of the data, if it has one


@dataclass(frozen=True, slots=True)
class Conversation:
    """A row as messages plus tools, or as plain text, and how it was read that way."""

    row: int
    kind: Kind
    messages: tuple[Message, ...] = ()
    completion_from: int | None = None  # index of the first message of the completion (prompt-completion)
    tools: tuple[Any, ...] = ()
    template_kwargs: dict[str, Any] = field(default_factory=dict)
    text: str = ""  # kind "text", and the prompt of "text-completion"
    completion: str = ""  # kind "text-completion"
    input_ids: tuple[int, ...] = ()  # kind "tokens"
    labels: tuple[int, ...] = ()
    how: str = ""  # in words, for example "ShareGPT from/value, human is user, gpt is assistant"


Part = Literal[
    "bos",
    "header",
    "content",
    "thinking",
    "tool call",
    "tool result",
    "stop",
    "separator",
    "scaffold",
    "generation prompt",
    "added eos",
    "pad",
]


@dataclass(frozen=True, slots=True)
class Span:
    """Characters [start, end) of a rendering with one cause."""

    start: int
    end: int
    part: Part
    role: str  # of the message it belongs to; "" for text that belongs to none
    message: int  # index of the message, -1 for none


@dataclass(frozen=True, slots=True)
class Rendering:
    """The text a template makes of a conversation. The spans tile it: no gap, no overlap."""

    text: str
    spans: tuple[Span, ...]
    aligned: bool  # the spans were found by alignment or markers; False: one span of unknown cause
    trained: tuple[tuple[int, int], ...]  # characters that carry loss, by the span rule
    source: Literal["markers", "alignment", "text", "tokens", "prefix"] = "alignment"


@dataclass(frozen=True, slots=True)
class Example:
    """What the trainer is handed for one row: equal-length arrays, before collation."""

    row: int
    input_ids: np.ndarray  # int32 [tokens]
    labels: np.ndarray  # int32 [tokens], an id or IGNORED, not shifted
    full_length: int  # tokens before truncation


@dataclass(frozen=True, slots=True)
class Token:
    """One token as it is shown. Everything a person may ask of it."""

    id: int
    text: str
    label: int
    role: str
    message: int
    part: str
    reason: str  # in words: why it is trained or not
    span: tuple[int, int]  # characters of the rendering
    data: bytes = b""  # the bytes of text it stands for


@dataclass(frozen=True, slots=True)
class Finding:
    """One diagnosis over the set: code, severity, the rows it holds for, the cause and the fix."""

    code: str
    severity: Severity
    rows: tuple[int, ...]
    cause: str
    fix: str

    @property
    def count(self) -> int:
        return len(self.rows)
