"""How the next token is picked: what a person asked for, laid over the model's own generation defaults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from core.errors import UsageError

MAX_TOKENS = 512  # a long paragraph; long enough to see whether the model stops by itself


@dataclass(frozen=True, slots=True)
class Sampling:
    """What a person asked for. None leaves a value to the model's own generation config.

    `temperature` 0 is greedy decoding. `max_tokens` counts new tokens. `seed` None draws a fresh one,
    which the answer names so that it can be repeated.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    max_tokens: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        for field in FIELDS:
            _check(field, getattr(self, field.name))


@dataclass(frozen=True, slots=True)
class SamplingField:
    """One value a person may set: its name, what it means, its kind and its bounds (both allowed)."""

    name: str
    meaning: str
    kind: Callable[[str], float] | Callable[[str], int]
    low: float
    high: float


FIELDS = (
    SamplingField("temperature", "0 is greedy; higher is more random", float, 0, 100),
    SamplingField("top_p", "keep the likeliest tokens up to this sum", float, 0, 1),
    SamplingField("top_k", "keep this many tokens; 0 is off", int, 0, 1_000_000),
    SamplingField("min_p", "drop tokens below this share of the likeliest; 0 is off", float, 0, 1),
    SamplingField("repetition_penalty", "above 1 makes repeats less likely", float, 0.01, 100),
    SamplingField("max_tokens", "new tokens at most", int, 1, 10_000_000),
    SamplingField("seed", "for sampling that can be repeated", int, 0, 2**63 - 1),
)


@dataclass(frozen=True, slots=True)
class Decoding:
    """Every value as it is used. `greedy` ignores temperature, top_p, top_k and min_p."""

    greedy: bool
    temperature: float
    top_p: float
    top_k: int  # 0 is off
    min_p: float  # 0 is off
    repetition_penalty: float
    max_tokens: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        if self.greedy:
            return "greedy" + self._penalty()
        parts = [f"temperature {self.temperature:g}"]
        parts += [f"top-p {self.top_p:g}"] if self.top_p < 1 else []
        parts += [f"top-k {self.top_k}"] if self.top_k else []
        parts += [f"min-p {self.min_p:g}"] if self.min_p else []
        return ", ".join(parts) + self._penalty()

    def _penalty(self) -> str:
        return f", repetition penalty {self.repetition_penalty:g}" if self.repetition_penalty != 1 else ""


def decoding(sampling: Sampling, own: dict[str, Any], library: dict[str, Any]) -> Decoding:
    """Lay `sampling` over the model's generation config (`own`) and the library's defaults."""

    def value(name: str, neutral: Any) -> Any:
        candidates = (own.get(name), library.get(name), neutral)
        return next(candidate for candidate in candidates if candidate is not None)

    temperature = float(value("temperature", 1.0))
    return laid_over(
        sampling,
        Decoding(
            greedy=temperature == 0 or not own.get("do_sample"),
            temperature=temperature,
            top_p=float(value("top_p", 1.0)),
            top_k=int(value("top_k", 0)),
            min_p=float(value("min_p", 0.0)),
            repetition_penalty=float(value("repetition_penalty", 1.0)),
            max_tokens=int(own.get("max_new_tokens") or MAX_TOKENS),
        ),
    )


def laid_over(sampling: Sampling, own: Decoding) -> Decoding:
    """What is used when a person asks for `sampling` and the model's own defaults are `own`.

    Naming any of temperature, top_p, top_k or min_p asks for sampling, unless the temperature is 0.
    """
    asked = {
        field.name: value
        for field in FIELDS
        if field.name != "seed" and (value := getattr(sampling, field.name)) is not None
    }
    used = replace(own, **asked)
    asks_to_sample = bool(asked.keys() & {"temperature", "top_p", "top_k", "min_p"})
    return replace(used, greedy=used.temperature == 0 or not (asks_to_sample or not own.greedy))


def changed(sampling: Sampling, name: str, text: str) -> Sampling:
    """`sampling` with one field as a person wrote it; an empty text gives it back to the model.

    Raises UsageError for a field that does not exist or a value that it cannot take.
    """
    field = next((field for field in FIELDS if field.name == name), None)
    if field is None:
        known = ", ".join(field.name for field in FIELDS)
        raise UsageError(f"there is no {name}", where="sampling", fix=f"known: {known}")
    if not text.strip():
        return replace(sampling, **{name: None})
    try:
        value = field.kind(text.strip())
    except ValueError:
        kind = "a whole number" if field.kind is int else "a number"
        raise UsageError(
            f"{name} = {text.strip()} is not {kind}", where="sampling", fix=f"change {name}"
        ) from None
    values: dict[str, Any] = {name: value}
    return replace(sampling, **values)


def _check(field: SamplingField, value: float | None) -> None:
    if value is not None and not field.low <= value <= field.high:
        raise UsageError(
            f"{field.name} = {value} is outside {field.low:g} to {field.high:g}",
            where="sampling",
            fix=f"change {field.name}",
        )


GREEDY = Sampling(temperature=0.0)
