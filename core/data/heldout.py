"""Which rows are held out for evaluation: a share of the groups of equal prompts, by hash and seed.

A row's group decides, so equal prompts are never on both sides, and the choice needs no second pass.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np

from core.data.types import Conversation


class HeldOut:
    """Holds out about `fraction` of the prompt groups; the same seed always holds out the same."""

    def __init__(self, fraction: float, seed: int) -> None:
        self._limit = int(fraction * 2**64)
        self._key = str(seed).encode()

    def of(self, conversations: list[Conversation], rows: np.ndarray) -> np.ndarray:
        """For each of the given row numbers, whether it is held out."""
        if not self._limit:
            return np.zeros(len(rows), dtype=bool)
        asked = {conversation.row: conversation for conversation in conversations}
        return np.asarray([self._holds(asked[int(row)]) for row in rows], dtype=bool)

    def _holds(self, conversation: Conversation) -> bool:
        digest = hashlib.blake2b(
            prompt_key(conversation).encode("utf-8", "replace"), digest_size=8, key=self._key
        )
        return int.from_bytes(digest.digest(), "big") < self._limit


def prompt_key(conversation: Conversation) -> str:
    """What two rows share when they ask the same: the first question, or the text itself."""
    if conversation.messages:
        asked = next(
            (message for message in conversation.messages if message.role == "user"), conversation.messages[0]
        )
        return asked.content if isinstance(asked.content, str) else json.dumps(asked.content, default=str)
    return conversation.text or repr(conversation.input_ids)
