"""The tokens of one row as columns: small to hand over between processes, quick to search, whatever the length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, overload

import numpy as np

from core.data.types import IGNORED, Token


class Cause(NamedTuple):
    """What a token belongs to and why it has its label."""

    role: str
    message: int
    part: str
    reason: str


@dataclass(frozen=True, eq=False)
class Tokens(Sequence[Token]):
    """A sequence of Token held in arrays [tokens]; a slice is another one.

    `piece` numbers `pieces`, the bytes of each different token; `cause` numbers `causes`. `starts` and
    `ends` are characters of the rendering.
    """

    ids: np.ndarray  # int32
    labels: np.ndarray  # int32
    starts: np.ndarray  # int32
    ends: np.ndarray  # int32
    piece: np.ndarray  # int32
    cause: np.ndarray  # int32
    pieces: tuple[bytes, ...]
    causes: tuple[Cause, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Token: ...

    @overload
    def __getitem__(self, index: slice) -> Tokens: ...

    def __getitem__(self, index: int | slice) -> Token | Tokens:
        if isinstance(index, slice):
            return Tokens(
                self.ids[index],
                self.labels[index],
                self.starts[index],
                self.ends[index],
                self.piece[index],
                self.cause[index],
                self.pieces,
                self.causes,
            )
        data = self.pieces[self.piece[index]]
        return Token(
            int(self.ids[index]),
            data.decode("utf-8", "replace"),
            int(self.labels[index]),
            *self.causes[self.cause[index]],
            (int(self.starts[index]), int(self.ends[index])),
            data,
        )

    def __iter__(self) -> Iterator[Token]:
        return (self[index] for index in range(len(self)))

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The pieces as text; bytes that are no character show as U+FFFD."""
        return tuple(data.decode("utf-8", "replace") for data in self.pieces)

    @cached_property
    def trained(self) -> np.ndarray:
        """Which tokens carry loss: bool [tokens]."""
        marks: np.ndarray = self.labels != IGNORED
        return marks

    def text(self, index: int) -> str:
        """The text of one token."""
        return self.texts[self.piece[index]]


def _none() -> np.ndarray:
    return np.zeros(0, dtype=np.int32)


NO_TOKENS = Tokens(_none(), _none(), _none(), _none(), _none(), _none(), (), ())
