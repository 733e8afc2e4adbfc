"""Labels against published masks: TRL's own on real tokenizers, over chats that catch known faults."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from core.data.drafting import Drafter
from core.data.encoders import exact_encoder
from core.data.rowpass import label_conversations
from core.data.tokenizer import load_tokenizer
from core.data.types import IGNORED, Conversation, Message
from core.recipe import DataSection

MODES = {
    "TRL assistant_only": ("assistant", "trl-training"),
    "TRL prompt/completion": ("completion", "model"),
}


def conversation_of(messages: list[dict[str, Any]]) -> Conversation:
    turns = []
    for message in messages:
        known = {key: message[key] for key in ("role", "content")}
        rest = {key: value for key, value in message.items() if key not in ("role", "content", "tool_calls")}
        turns.append(Message(**known, tool_calls=tuple(message.get("tool_calls") or ()), extra=rest))
    return Conversation(0, "messages", tuple(turns))


def labelled(folder: Path, conversation: Conversation, **section: Any) -> tuple[list[int], list[int]]:
    tokenizer = load_tokenizer(folder)
    drafter = Drafter(DataSection(**section), tokenizer)
    batch = label_conversations([conversation], drafter, exact_encoder(tokenizer))
    assert batch.drafts[0].problem == ""
    return batch.encoded.ids.tolist(), batch.labels.tolist()


@pytest.fixture
def november(monkeypatch: pytest.MonkeyPatch) -> None:
    freeze_to_november(monkeypatch)


def freeze_to_november(monkeypatch: pytest.MonkeyPatch) -> None:
    """Freeze the clock that templates print to the day the masks were made."""
    from core.data import sandbox

    class Frozen(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Frozen:
            return cls(2026, 11, 20, 12, 0, 0)

    monkeypatch.setattr(sandbox, "datetime", Frozen)


def test_ids_and_masks_equal_those_of_trl(shared_data: Path, november: None) -> None:
    entries = json.loads((shared_data / "masking_matrix.json").read_text())
    compared = 0
    for entry in entries:
        if entry["method"] not in MODES or entry["input_ids"] is None:
            continue
        loss_on, template = MODES[entry["method"]]
        ids, labels = labelled(
            shared_data / "tokenizers" / entry["tokenizer"],
            conversation_of(entry["messages"]),
            loss_on=loss_on,
            template=template,
        )
        where = f"{entry['tokenizer']} / {entry['conversation']} / {entry['method']}"
        assert ids == entry["input_ids"], where
        assert [int(label != IGNORED) for label in labels] == entry["train_mask"], where
        compared += 1
    assert compared == 71
