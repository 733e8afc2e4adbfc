"""Records that are no plain conversation: preference pairs, and rows that are tokens already."""

from __future__ import annotations

from typing import Any

from core.data.formats.messages import is_turns, messages_of
from core.data.formats.pairs import system_messages
from core.data.formats.values import Unreadable, kind_of, parsed_json, text_of
from core.data.types import IGNORED, Conversation, Message

_MASKS = ("completion_mask", "assistant_masks", "assistant_mask", "loss_mask", "labels_mask")


def is_preference(raw: dict[str, Any]) -> bool:
    """Chosen/rejected pairs, or one answer with a true/false verdict (KTO)."""
    paired = ("chosen" in raw and "rejected" in raw) or (
        "chosen_messages" in raw and "rejected_messages" in raw
    )
    judged = isinstance(raw.get("label"), bool) and (
        "messages" in raw or ("prompt" in raw and "completion" in raw)
    )
    return paired or judged


def preference(row: int, raw: dict[str, Any], columns: dict[str, str]) -> Conversation:
    """Prompt and chosen answer, to be shown; such rows are not trained."""
    chosen = raw.get("chosen", raw.get("chosen_messages", raw.get("completion", raw.get("messages"))))
    prompt = raw.get("prompt", raw.get("conversations", raw.get("question")))
    messages = list(system_messages(raw))
    answer = _turns(chosen, "assistant", columns)
    start = _turns(prompt, "user", columns)
    if answer[: len(start)] == start:
        start = []
    messages += [*start, *answer]
    if isinstance(raw.get("label"), bool):
        verdict = "good" if raw["label"] else "bad"
        how = f"KTO: an answer judged {verdict}"
    else:
        how = "DPO: the chosen answer is shown, the rejected one is in the raw row"
    return Conversation(row, "preference", tuple(messages), how=how)


def tokens(row: int, raw: dict[str, Any]) -> Conversation:
    """A row of token ids with labels or a mask. Raises Unreadable if they do not fit together."""
    ids = _ids(raw["input_ids"], "input_ids")
    mask_name = next((name for name in _MASKS if raw.get(name) is not None), None)
    if raw.get("labels") is not None:
        labels, how = _labels(raw["labels"]), "already tokenised, with labels"
    elif mask_name:
        mask = _mask(raw[mask_name], mask_name)
        _same_length(ids, mask, mask_name)
        labels = tuple(token if kept else IGNORED for token, kept in zip(ids, mask, strict=True))
        how = f"already tokenised, labels from {mask_name}"
    else:
        labels, how = ids, "already tokenised, without labels: every token is trained"
    _same_length(ids, labels, "labels")
    return Conversation(row, "tokens", input_ids=ids, labels=labels, how=how)


def _turns(value: Any, role: str, columns: dict[str, str]) -> list[Message]:
    value = parsed_json(value)
    if value is None:
        return []
    if is_turns(value):
        return list(messages_of(value, columns))
    if isinstance(value, dict):
        return list(messages_of([value], columns))
    return [Message(role, text_of(value, role))]


def _ids(value: Any, what: str) -> tuple[int, ...]:
    """Token ids: whole numbers from 0. Raises Unreadable for anything else."""
    numbers = _integers(value, what)
    if numbers and min(numbers) < 0:
        raise Unreadable("wrong-type", f"{what} holds {min(numbers)}", "ids begin at 0")
    return numbers


def _labels(value: Any) -> tuple[int, ...]:
    """Ids, and IGNORED for what carries no loss."""
    numbers = _integers(value, "labels")
    odd = next((number for number in numbers if number < 0 and number != IGNORED), None)
    if odd is not None:
        raise Unreadable("wrong-type", f"labels holds {odd}", f"write {IGNORED} for tokens without loss")
    return numbers


def _mask(value: Any, what: str) -> tuple[int, ...]:
    """1 or true for what carries loss, 0 or false for what does not."""
    numbers = _integers(
        [int(item) if isinstance(item, bool) else item for item in value]
        if isinstance(value, list)
        else value,
        what,
    )
    odd = next((number for number in numbers if number not in (0, 1)), None)
    if odd is not None:
        raise Unreadable(
            "wrong-type", f"{what} holds {odd}", "write 1 for tokens with loss, 0 for the others"
        )
    return numbers


def _integers(value: Any, what: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise Unreadable(
            "wrong-type", f"{what} is {kind_of(value)}, not a list of ids", "write a list of whole numbers"
        )
    if not all(type(item) is int or (isinstance(item, float) and item.is_integer()) for item in value):
        raise Unreadable(
            "wrong-type", f"{what} holds something that is no whole number", "write whole numbers"
        )
    numbers = tuple(map(int, value))
    if numbers and not -(2**31) <= min(numbers) <= max(numbers) < 2**31:
        raise Unreadable(
            "wrong-type", f"{what} holds a number beyond 32 bits", "check how the file was written"
        )
    return numbers


def _same_length(ids: tuple[int, ...], other: tuple[int, ...], what: str) -> None:
    if len(ids) != len(other):
        raise Unreadable(
            "wrong-length",
            f"{len(ids)} input_ids but {len(other)} {what}",
            "both must have one entry per token",
        )
