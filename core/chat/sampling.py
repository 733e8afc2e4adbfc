"""How the next token is picked: what a person asked for, laid over the model's own generation defaults."""

from __future__ import annotations

from dataclasses import asdict, dataclass
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
        _check("temperature", self.temperature, 0, 100)
        _check("top_p", self.top_p, 0, 1)
        _check("min_p", self.min_p, 0, 1)
        _check("top_k", self.top_k, 0, 1_000_000)
        _check("repetition_penalty", self.repetition_penalty, 0.01, 100)
        _check("max_tokens", self.max_tokens, 1, 10_000_000)


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
    """Lay `sampling` over the model's generation config (`own`) and the library's defaults.

    Naming any of temperature, top_p, top_k or min_p asks for sampling, unless the temperature is 0.
    """

    def value(name: str, neutral: Any) -> Any:
        asked = getattr(sampling, name)
        candidates = (asked, own.get(name), library.get(name), neutral)
        return next(candidate for candidate in candidates if candidate is not None)

    asks_to_sample = any(
        getattr(sampling, name) is not None for name in ("temperature", "top_p", "top_k", "min_p")
    )
    temperature = float(value("temperature", 1.0))
    max_tokens = sampling.max_tokens or own.get("max_new_tokens") or MAX_TOKENS
    return Decoding(
        greedy=temperature == 0 or not (asks_to_sample or bool(own.get("do_sample"))),
        temperature=temperature,
        top_p=float(value("top_p", 1.0)),
        top_k=int(value("top_k", 0)),
        min_p=float(value("min_p", 0.0)),
        repetition_penalty=float(value("repetition_penalty", 1.0)),
        max_tokens=int(max_tokens),
    )


def _check(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        raise UsageError(
            f"{name} = {value} is outside {low} to {high}", where="sampling", fix=f"change {name}"
        )


GREEDY = Sampling(temperature=0.0)
