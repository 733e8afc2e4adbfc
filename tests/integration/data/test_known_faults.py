"""Where TRL's own masks are at fault, and what stands here instead: the marked text, whole and nothing more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.data.drafting import Drafter
from core.data.encoders import exact_encoder
from core.data.rowpass import label_conversations
from core.data.tokenizer import Tokenizer, load_tokenizer
from core.data.types import IGNORED, Conversation, Message
from core.recipe import DataSection
from tests.integration.data.trl_reference import trl_row, trl_rows

# The markers enclose the answer alone, without its turn end.
BARE_ANSWERS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
)


@pytest.fixture
def qwen(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Tokenizer:
    tokenizer = load_tokenizer(shared_data / "tokenizers" / "qwen2_5")
    monkeypatch.setattr(tokenizer.hf, "chat_template", BARE_ANSWERS)
    changed = replace(tokenizer, facts=replace(tokenizer.facts, chat_template=BARE_ANSWERS))
    changed.__dict__["hf"] = tokenizer.hf
    return changed


def both(tokenizer: Tokenizer, answer: str) -> tuple[list[int], list[int], list[int]]:
    """Ids, our labels and TRL's of a chat with this answer and a further turn."""
    turns = (
        Message("user", "Hi"),
        Message("assistant", answer),
        Message("user", "Bye"),
        Message("assistant", "ok"),
    )
    conversation = Conversation(0, "messages", turns)
    drafter = Drafter(DataSection(loss_on="assistant"), tokenizer)
    batch = label_conversations([conversation], drafter, exact_encoder(tokenizer))
    theirs: Any = trl_rows([trl_row(conversation)], tokenizer.hf, assistant_only=True)
    ids, labels = theirs[0]
    assert batch.encoded.ids.tolist() == ids
    return ids, batch.labels.tolist(), labels


def text(tokenizer: Tokenizer, labels: list[int]) -> str:
    return str(tokenizer.hf.decode([label for label in labels if label != IGNORED]))


def test_an_ordinary_answer_is_the_same(qwen: Tokenizer) -> None:
    _, ours, theirs = both(qwen, "Yes.")
    assert ours == theirs
    assert text(qwen, ours) == "Yes.ok"


def test_an_answer_that_ends_in_a_character_of_several_tokens(qwen: Tokenizer) -> None:
    """TRL trains the first byte token of the emoji alone."""
    _, ours, theirs = both(qwen, "Yes 𓀀")
    assert text(qwen, ours) == "Yes 𓀀ok"
    assert len([label for label in theirs if label >= 0]) < len([label for label in ours if label >= 0])


def test_an_answer_that_ends_in_a_character_of_no_token(qwen: Tokenizer) -> None:
    """A decomposed accent is composed before encoding; TRL then trains to the end of the row."""
    _, ours, theirs = both(qwen, "cafe\u0301")
    assert text(qwen, ours) == "caféok"
    assert "<|im_start|>user\nBye" in text(qwen, theirs)
