"""GPUs people rent or own: memory as the driver reports it, and a price per hour to start from.

None of the three numbers was measured by us. Memory is about what torch shows as the card's total, which is less
than the name says: the driver and ECC keep some. Throughput is the dense 16-bit figure of NVIDIA's data sheets.
Prices change: the table is where to start, a person's own `prices.toml` comes first. A card that is here is
sized by the driver's own reading, not by this table.
"""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomlkit

from core.errors import UsageError
from core.memory.figure import GIB
from core.workspace import state_folder, write_atomically

BASIS = (
    "memory and prices are starting values, throughput is from NVIDIA's data sheets; none was measured here"
)


@dataclass(frozen=True, slots=True)
class Card:
    """One GPU type. `tflops` is dense 16-bit throughput on paper, `price` US dollars per hour, 0 if unknown.

    `bf16`: whether it computes in bfloat16, which the trainer asks for.
    """

    name: str
    gib: float
    tflops: float
    price: float
    bf16: bool = True
    own_price: bool = False  # a person's own, of prices.toml

    @property
    def bytes(self) -> int:
        return int(self.gib * GIB)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name, "bytes": self.bytes, "tflops": self.tflops, "price_per_hour": self.price,
            "own_price": self.own_price, "bfloat16": self.bf16,
        }  # fmt: skip


CARDS = (
    Card("T4 16GB", 14.7, 65, 0.50, bf16=False),
    Card("RTX 3090 24GB", 23.6, 71, 0.30),
    Card("RTX 4090 24GB", 23.5, 165, 0.40),
    Card("L4 24GB", 22.0, 121, 0.60),
    Card("A10G 24GB", 22.0, 70, 1.00),
    Card("RTX 5090 32GB", 31.3, 210, 0.80),
    Card("A100 40GB", 39.5, 312, 1.20),
    Card("L40S 48GB", 44.5, 362, 0.90),
    Card("RTX A6000 48GB", 47.5, 155, 0.60),
    Card("A100 80GB", 79.3, 312, 1.60),
    Card("H100 80GB", 79.1, 989, 2.80),
    Card("H200 141GB", 139.8, 989, 3.50),
    Card("B200 180GB", 178.3, 2250, 5.00),
)


def prices_file() -> Path:
    """Where a person's own prices are kept: `"H100 80GB" = 2.49`, one line per card."""
    return state_folder() / "prices.toml"


def cards() -> tuple[Card, ...]:
    """The table, with a person's own prices laid over it. Raises UsageError for a file that is not TOML."""
    path = prices_file()
    try:
        own = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return CARDS
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"not TOML: {error}", where=str(path), fix='write lines such as "H100 80GB" = 2.49'
        ) from None
    return tuple(
        replace(card, price=float(own[card.name]), own_price=True)
        if isinstance(own.get(card.name), int | float)
        else card
        for card in CARDS
    )


def set_price(name: str, price: float | None) -> Card:
    """Keep a person's own price for a card in `prices.toml`, whose other lines stay; None takes it back.

    Raises UsageError for a card that is not in the table, a price that is no amount, or a file that is not TOML.
    """
    card = card_named(name)
    if price is not None and not (math.isfinite(price) and 0 <= price < 10_000):
        raise UsageError(
            f"{price} is not a price per hour", where=card.name, fix="write dollars, for example 2.49"
        )
    path = prices_file()
    try:
        document = tomlkit.parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        document = tomlkit.document()
    except (tomlkit.exceptions.TOMLKitError, UnicodeDecodeError) as error:
        raise UsageError(f"not TOML: {error}", where=str(path), fix="mend or remove the file") from None
    if price is None:
        document.pop(card.name, None)
    else:
        document[card.name] = price
    write_atomically(path, tomlkit.dumps(document))
    return card_named(card.name)


def card_named(text: str) -> Card:
    """The card a name means: "H100", "h100 80gb", "a100-40", "NVIDIA A100-SXM4-80GB".

    Raises UsageError if none or several fit.
    """
    found = _fitting(text)
    if len(found) == 1:
        return found[0]
    names = ", ".join(card.name for card in found or cards())
    what = f"{text!r} fits several GPUs" if found else f"{text!r} is not in the table of GPUs"
    raise UsageError(what, where="--gpu", fix=f"name one of {names}, or give --memory 24GiB")


def card_of(device: str) -> Card | None:
    """The card that a driver's device name means, None if none or several: "NVIDIA A100" comes in two sizes."""
    found = _fitting(device)
    return found[0] if len(found) == 1 else None


# What drivers write around the name of a card. Any other word means another card: a laptop's, a part of one (MIG).
AROUND = re.compile(r"nvidia|geforce|tesla|quadro|gpu|sxm\d?|pcie|hbm\w*|gb")


def _fitting(text: str) -> list[Card]:
    words = _words(text)
    return [card for card in cards() if words and words <= _words(card.name)]


def _words(name: str) -> set[str]:
    """ "NVIDIA A100-SXM4-80GB" -> {"a100", "80"}."""
    apart = re.sub(r"(\d)gb\b", r"\1 gb", re.sub(r"\brtx(\d)", r"rtx \1", name.lower()))
    return {word for word in re.findall(r"[a-z0-9]+", apart) if not AROUND.fullmatch(word)}
