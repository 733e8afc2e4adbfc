"""Rows held out for evaluation: by a seeded fraction, whole groups of equal prompts at a time.

Two rows with the same prompt always land on the same side, so that an evaluation never asks what was trained.
"""

from __future__ import annotations

import hashlib

import numpy as np

from core.data.types import Conversation


def prompt_key(conversation: Conversation) -> int:
    """A number that is equal for equal prompts, 63 bits. Case and blanks do not count.

    The prompt is what stands before the first answer; plain text and token rows count as a whole.
    """
    return _key(prompt_text(conversation), conversation.input_ids)


def row_key(conversation: Conversation) -> int:
    """A number that is equal for rows with equal text and roles, 63 bits. Case and blanks count."""
    parts = [
        f"{message.role}\0{message.content}\0{message.reasoning}\0{message.tool_calls}"
        for message in conversation.messages
    ]
    whole = "\1".join([*parts, conversation.text, conversation.completion])
    return _digest(whole.encode("utf-8", "surrogatepass"), conversation.input_ids)


def prompt_text(conversation: Conversation) -> str:
    """What stands before the first answer."""
    if not conversation.messages:
        return conversation.text
    texts: list[str] = []
    for message in conversation.messages:
        if message.role == "assistant" and texts:
            break
        texts.append(f"{message.role}: {message.content}")
    return "\n".join(texts)


def hold_out(keys: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Which rows are held out: bool [rows]. `keys` are prompt keys, one per row.

    Groups are drawn in a seeded order until the fraction is reached, never beyond half a group more than
    asked. With two groups or more and a fraction above 0 both sides get at least one.
    """
    held: np.ndarray = np.zeros(len(keys), dtype=bool)
    groups, group_of, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    if fraction <= 0 or len(groups) < 2:
        return held
    wanted = max(1, round(fraction * len(keys)))
    taken = 0
    chosen: list[int] = []
    for group in np.random.default_rng(seed).permutation(len(groups)):
        size = int(sizes[group])
        if taken + size / 2 > wanted or len(chosen) == len(groups) - 1:
            continue
        chosen.append(int(group))
        taken += size
        if taken >= wanted:
            break
    if not chosen:
        chosen.append(int(np.argmin(sizes)))
    held[np.isin(group_of, chosen)] = True
    return held


def _key(text: str, ids: tuple[int, ...]) -> int:
    return _digest(" ".join(text.casefold().split()).encode("utf-8", "surrogatepass"), ids)


def _digest(data: bytes, ids: tuple[int, ...]) -> int:
    digest = hashlib.blake2b(data, digest_size=8)
    if ids:
        digest.update(np.asarray(ids, dtype=np.int64).tobytes())
    return int.from_bytes(digest.digest(), "little") >> 1
