"""What a chat needs in memory and what is free, known before minutes go into loading.

Weights as they are loaded, adapters, and the keys and values of the conversations: a run that is training has its own
share, which is not free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from core.chat.adapters import adapter_shapes
from core.chat.subject import Subject
from core.errors import TunedeckError
from core.memory.devices import Device
from core.memory.kv_cache import kv_cache
from core.memory.outside import CONTEXT_BYTES
from core.models.architecture import Architecture
from core.models.architecture_of import read_model
from core.models.weight_files import read_weights

CONVERSATION_TOKENS = 4096  # a few turns with long answers
LEAST_TOKENS = 512  # (or a quarter of the context) with room for less, a chat would end in its first answers
_BITS_OF_FOUR = 4.5  # a weight and its share of the scale of its block of 64

Verdict = Literal["fits", "tight", "does not fit", "unknown"]


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes a chat takes on one device. `conversations` of `tokens` tokens each are kept, one per voice.

    `full_cache_bytes` is what they take when the whole context is used. `free_bytes` None: not readable here.
    """

    where: str
    weights_bytes: int
    adapter_bytes: int
    cache_bytes: int
    least_cache_bytes: int
    full_cache_bytes: int
    tokens: int
    context_length: int
    conversations: int
    outside_bytes: int
    free_bytes: int | None

    @property
    def bytes(self) -> int:
        return self.weights_bytes + self.adapter_bytes + self.cache_bytes + self.outside_bytes

    @property
    def least_bytes(self) -> int:
        """With short conversations only."""
        return self.bytes - self.cache_bytes + self.least_cache_bytes

    @property
    def verdict(self) -> Verdict:
        """tight: it loads, and a conversation of `tokens` tokens may not fit."""
        if self.free_bytes is None:
            return "unknown"
        if self.bytes <= self.free_bytes:
            return "fits"
        return "tight" if self.least_bytes <= self.free_bytes else "does not fit"

    def __str__(self) -> str:
        free = "unknown" if self.free_bytes is None else _gib(self.free_bytes)
        several = f"{self.conversations} conversations" if self.conversations > 1 else "a conversation"
        text = (
            f"needs {_gib(self.bytes)} of {self.where} ({free} free): weights {_gib(self.weights_bytes)}, "
            f"keys and values {_gib(self.cache_bytes)} for {several} of {self.tokens:,} tokens"
        )
        if self.context_length > self.tokens:
            text += f" ({_gib(self.full_cache_bytes)} if all {self.context_length:,} of the context are used)"
        return text if self.verdict in ("fits", "unknown") else f"{self.verdict}: {text}"


def need(subjects: Sequence[Subject], devices: Sequence[Device], *, conversations: int = 0) -> Need:
    """What the chat with these subjects needs on the device it will take: the first GPU, else the host.

    Subjects of one base count its weights once. `conversations` is how many are kept; one per subject, and one for the base,
    unless given. Raises TunedeckError for a model whose config or weights cannot be read.
    """
    device = next((d for d in devices if d.kind == "cuda" and d.visible and not d.lost), None)
    device = device or next(d for d in devices if d.kind == "host")
    conversations = conversations or len(subjects) + (subjects[0].adapter is not None)
    architecture = read_model(subjects[0].model_folder)
    context = architecture.context_length or CONVERSATION_TOKENS
    tokens = min(CONVERSATION_TOKENS, context)
    element = _element_bytes(subjects[0], architecture)
    bases = {subject.model_folder.resolve(): subject for subject in subjects}.values()

    def cache(length: int) -> int:
        return kv_cache(architecture, length, sequences=conversations, element=element).bytes

    return Need(
        where="host memory" if device.kind == "host" else device.name,
        weights_bytes=sum(weight_bytes(subject) for subject in bases),
        adapter_bytes=sum(adapter_bytes(subject) for subject in subjects),
        cache_bytes=cache(tokens),
        least_cache_bytes=cache(min(LEAST_TOKENS, context // 4)),
        full_cache_bytes=cache(context),
        tokens=tokens,
        context_length=context,
        conversations=conversations,
        outside_bytes=0 if device.kind == "host" else CONTEXT_BYTES,
        free_bytes=device.free_bytes,
    )


def weight_bytes(subject: Subject, *, quantized: bool = True) -> int:
    """Bytes of the weights in memory, in the dtype and quantisation they are loaded in.

    Quantised are the linear layers but for the head. Raises TunedeckError for damaged or missing weights.
    """
    weights = read_weights(subject.model_folder)
    if weights.problem:
        pickled = subject.model_folder / subject.allow_pickle
        if subject.allow_pickle and pickled.is_file():
            return pickled.stat().st_size
        raise TunedeckError(
            weights.problem, where=str(subject.model_folder), fix="fetch or save the model again"
        )
    each = {"float32": 4, "bfloat16": 2, "float16": 2}.get(subject.dtype)
    whole = weights.parameters * each if each else weights.bytes
    if not quantized or subject.quantization == "none":
        return whole
    architecture = read_model(subject.model_folder)
    linears = sum(one.inputs * one.outputs for one in architecture.linears if one.name != architecture.head)
    bits = 8.0 if subject.quantization == "int8" else _BITS_OF_FOUR
    return round(whole * (1 - linears / max(weights.parameters, 1)) + linears * bits / 8)


def adapter_bytes(subject: Subject) -> int:
    """Bytes of the adapter in memory: PEFT holds 16-bit ones in float32."""
    if subject.adapter is None:
        return 0
    return 4 * sum(prod(shape) for shape in adapter_shapes(subject.adapter).values())


def require_room(found: Need) -> None:
    """Raise TunedeckError if not even a short conversation would fit beside the weights."""
    if found.verdict == "does not fit":
        raise TunedeckError(
            str(found),
            where=found.where,
            fix="stop another process (a run that trains, perhaps), or choose a smaller or quantised base",
        )


def _element_bytes(subject: Subject, architecture: Architecture) -> int:
    dtype = architecture.dtype if subject.dtype == "auto" else subject.dtype
    return 4 if dtype == "float32" else 2


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 100 << 20 else f"{count / 2**20:.0f} MiB"
