"""What goes over the pipe between a `ChatWorker` and its process. No torch here: the app imports this."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from core.chat.sampling import Decoding, Sampling
from core.chat.subject import Subject
from core.errors import EXIT_FAILED

BASE = "base"
TUNED = "tuned"

Stop = Literal["eos", "length", "context", "cancelled"]


# --- to the worker ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Load:
    """Load this subject; the first message of a worker's life."""

    subject: Subject


@dataclass(frozen=True, slots=True)
class AddAdapter:
    """Load one more adapter of the same base; it answers under `name`."""

    number: int
    name: str
    folder: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Answer a conversation. `messages` for a model with a template, `text` to complete plain text.

    `who` is one of the model's voices; empty means the model itself (with its adapter, if it has one).
    """

    number: int
    who: str
    messages: tuple[dict[str, Any], ...] = ()
    text: str = ""
    tools: tuple[Any, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)


@dataclass(frozen=True, slots=True)
class Inspect:
    """Probabilities of an answer's tokens, as the model sees them without sampling."""

    number: int
    who: str
    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]
    alternatives: int = 5


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop the answer with this number now, also in the middle of the prompt."""

    number: int


Request = Load | AddAdapter | Ask | Inspect | Cancel


# --- from the worker -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Loaded:
    """The model is in memory. `voices` are the names that `who` may take."""

    label: str
    voices: tuple[str, ...]
    device: str
    dtype: str
    memory_bytes: int  # weights and adapters
    context_length: int
    has_template: bool
    stop_tokens: tuple[tuple[int, str], ...]
    decoding: Decoding  # the model's own defaults
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Started:
    """The prompt is ready and the answer begins. `warnings` name what a person should know first."""

    number: int
    who: str
    prompt_ids: tuple[int, ...]
    prompt_text: str
    decoding: Decoding
    warnings: tuple[str, ...] = ()
    left_out: int = 0  # messages that did not fit into the context and were not shown to the model


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that is final: it is never taken back."""

    number: int
    text: str
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """Who answered, read from the model itself and not from the request.

    `first_step` is a digest of the exact logits of the first new token. It repeats on the same machine
    when the same model reads the same prompt with the same number of reused tokens.
    """

    adapter: str  # name of the active adapter, empty if none is loaded
    active: bool  # whether PEFT's layers apply it
    first_step: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer with its figures. Times in seconds, from the moment the prompt is ready."""

    who: str
    text: str
    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]  # with the stop token, if the answer ended on one
    stop: Stop
    stop_token: str
    first_token_seconds: float
    seconds: float
    tokens_per_second: float  # after the first token; 0 for a single token
    reused_tokens: int  # prompt tokens taken from the kept cache
    peak_bytes: int  # device memory, 0 where it is not measured
    seed: int | None
    proof: Proof

    def to_json(self) -> dict[str, Any]:
        values = asdict(self)
        return {**values, "prompt_ids": list(self.prompt_ids), "ids": list(self.ids)}


@dataclass(frozen=True, slots=True)
class Done:
    """The answer is complete (or was stopped: see `answer.stop`)."""

    number: int
    answer: Answer


@dataclass(frozen=True, slots=True)
class TokenChance:
    """One token of an answer: its probability and what else the model weighed, most likely first."""

    id: int
    data: bytes  # UTF-8, perhaps only a part of a character
    probability: float
    rank: int  # 0: the most likely token
    alternatives: tuple[tuple[int, bytes, float], ...]


@dataclass(frozen=True, slots=True)
class Inspection:
    """The answer to `Inspect`."""

    number: int
    prompt: tuple[tuple[int, bytes], ...]  # id and bytes of every prompt token
    answer: tuple[TokenChance, ...]
    special_ids: tuple[int, ...] = ()  # those of its tokens that are control tokens, not text


@dataclass(frozen=True, slots=True)
class AdapterAdded:
    """`voices` are the names that `who` may take now."""

    number: int
    name: str
    voices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request ended without its result, in words. `number` is 0 for loading.

    `fatal` says that the worker is gone; the next request starts a fresh one.
    """

    number: int
    what: str
    fatal: bool = False
    exit_code: int = EXIT_FAILED


Reply = Loaded | Started | Piece | Done | Inspection | AdapterAdded | Failure
