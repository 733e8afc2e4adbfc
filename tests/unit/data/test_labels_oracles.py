"""Labels and ids against published arrays (Phi-3 mini), and the rules of each loss mode."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.data.drafting import Drafter
from core.data.encoders import exact_encoder
from core.data.responses import label_by_ids
from core.data.rowpass import Outcome, kept_rows, label_conversations
from core.data.tokenizer import Tokenizer, load_tokenizer
from core.data.types import IGNORED, Conversation, Message
from core.recipe import DataSection
from core.workspace import EMBEDDED_MODEL

A = (
    ("user", "The birch canoe slid on the smooth planks."),
    ("assistant", "On the smooth planks, the birch canoe slid. Yes, hrrrm."),
)
B = (
    ("user", "Glue the sheet to the dark blue background."),
    ("assistant", "Glue the sheet to the dark blue background, you must."),
)


def chat(*turns: tuple[str, str], completion_from: int | None = None, row: int = 0) -> Conversation:
    kind: Any = "messages" if completion_from is None else "prompt-completion"
    return Conversation(row, kind, tuple(Message(*turn) for turn in turns), completion_from)


def labels_of(
    tokenizer: Tokenizer, conversation: Conversation, **section: Any
) -> tuple[list[int], list[int]]:
    drafter = Drafter(DataSection(**section), tokenizer)
    batch = label_conversations([conversation], drafter, exact_encoder(tokenizer))
    return batch.encoded.ids.tolist(), batch.labels.tolist()


@pytest.fixture(scope="module")
def phi3(shared_data: Path) -> Tokenizer:
    return load_tokenizer(shared_data / "tokenizers" / "phi3_mini")


@pytest.fixture(scope="module")
def published(shared_data: Path) -> dict[str, Any]:
    path = shared_data.parent / "facts" / "oracles.json"
    if not path.exists():
        pytest.skip("the published arrays are not beside the project")
    return {entry["id"]: entry["expected"] for entry in json.loads(path.read_text())["oracles"]}


def test_chat_ids_and_text(phi3: Tokenizer, published: dict[str, Any]) -> None:
    drafter = Drafter(DataSection(), phi3)
    assert drafter.draft(chat(*A)).text == published["tpl.phi3.rowA"]
    assert labels_of(phi3, chat(*A))[0] == published["tok.phi3.rowA"]
    assert labels_of(phi3, chat(*B))[0] == published["tok.phi3.rowB"]
    with_system = chat(("system", "You talk like Yoda."), *A)
    assert drafter.draft(with_system).text == published["tpl.phi3.system"]
    assert labels_of(phi3, with_system)[0] == published["tok.phi3.system_row"]


@pytest.mark.parametrize(
    ("template", "loss_on"), [("model", "assistant"), ("trl-training", "assistant"), ("model", "completion")]
)
def test_every_route_to_the_answer_gives_the_same_labels(
    phi3: Tokenizer, published: dict[str, Any], template: str, loss_on: str
) -> None:
    """16 masked and 22 trained tokens in A, 13 and 15 in B; the answer, its turn end and EOS."""
    expected = published["lab.phi3.completion"]
    labels = labels_of(phi3, chat(*A), template=template, loss_on=loss_on)[1]
    assert labels == expected["labels_A"]
    assert labels.count(IGNORED) == expected["masked_A"] == 16
    assert phi3.hf.decode([label for label in labels if label >= 0]) == published["lab.phi3.decode"]
    labels = labels_of(phi3, chat(*B), template=template, loss_on=loss_on)[1]
    assert labels == expected["labels_B_unpadded"]
    assert labels.count(IGNORED) == expected["masked_B"] == 13


def test_all_trains_everything(phi3: Tokenizer, published: dict[str, Any]) -> None:
    ids, labels = labels_of(phi3, chat(*A), loss_on="all")
    assert labels == ids == published["lab.phi3.full"]["labels_A"]


def test_more_than_one_turn(phi3: Tokenizer, published: dict[str, Any]) -> None:
    whole = published["lab.phi3.multi_turn_all"]
    assert labels_of(phi3, chat(*A, *B), loss_on="assistant") == (whole["input_ids"], whole["labels"])
    last = published["lab.phi3.multi_turn_last"]
    assert labels_of(phi3, chat(*A, *B), loss_on="last") == (last["input_ids"], last["labels"])
    assert labels_of(phi3, chat(*A, *B, completion_from=3)) == (last["input_ids"], last["labels"])


def test_prompt_and_completion_as_strings(phi3: Tokenizer, published: dict[str, Any]) -> None:
    expected = published["lab.phi3.string_prompt_completion"]
    for number, turns in enumerate((A, B)):
        row = Conversation(0, "text-completion", text=turns[0][1], completion=turns[1][1])
        assert labels_of(phi3, row) == (expected["input_ids"][number], expected["labels"][number])


def test_cuts_and_rows_left_without_a_label(phi3: Tokenizer, published: dict[str, Any]) -> None:
    expected = published["lab.truncation"]
    drafter = Drafter(DataSection(loss_on="completion"), phi3)
    rows = [chat(*A, row=0), chat(*B, row=1)]
    batch = label_conversations(rows, drafter, exact_encoder(phi3))
    kept = kept_rows(batch, 30, Outcome())
    assert kept.lengths.tolist() == expected["max_length 30 keep_start"]["lengths"]
    assert (kept.lengths - kept.trained).tolist() == expected["max_length 30 keep_start"]["masked"]
    outcome = Outcome()
    kept = kept_rows(batch, 14, outcome)
    assert kept.lengths.tolist() == expected["max_length 14 keep_start"]["lengths"]
    assert (kept.lengths - kept.trained).tolist() == expected["max_length 14 keep_start"]["masked"]
    assert [row for row, _ in outcome.problems["cut-before-answer"]] == [0]


def test_response_template_as_ids(published: dict[str, Any]) -> None:
    expected = published["lab.phi3.dummy_chat"]
    ids = np.asarray(
        [
            32010,
            15043,
            13,
            32001,
            1128,
            526,
            366,
            29973,
            13,
            32010,
            306,
            29915,
            29885,
            2691,
            29991,
            887,
            29973,
            13,
            32001,
            306,
            29915,
            29885,
            2691,
            2086,
            29991,
            13,
            32000,
        ]
    )
    last = label_by_ids(ids, [32001], []).tolist()
    assert last == expected["last_answer_only"]
    assert last.count(IGNORED) == 19
    every = label_by_ids(ids, [32001], [32010]).tolist()
    assert every == expected["all_answers"]
    assert every.count(IGNORED) == 14


def test_response_template_as_text_and_as_ids_agree(phi3: Tokenizer) -> None:
    """The text form cannot be fooled by merges; on this template both find the same tokens."""
    by_text = labels_of(
        phi3,
        chat(*A, *B),
        loss_on="response-template",
        response_template="<|assistant|>\n",
        instruction_template="<|user|>",
    )
    by_ids = labels_of(
        phi3,
        chat(*A, *B),
        loss_on="response-template",
        response_template="[32001]",
        instruction_template="[32010]",
    )
    assert by_text == by_ids


class TestModes:
    """Which turns carry loss, on the embedded ChatML tokenizer."""

    def trained(self, conversation: Conversation, **section: Any) -> str:
        tokenizer = load_tokenizer(EMBEDDED_MODEL)
        _, labels = labels_of(tokenizer, conversation, **section)
        return str(tokenizer.hf.decode([label for label in labels if label >= 0]))

    def test_last(self) -> None:
        assert self.trained(chat(*A, *B), loss_on="last") == B[1][1] + "<|im_end|>"

    def test_roles(self) -> None:
        both = self.trained(chat(("system", "Be kind."), *A), loss_on="roles", roles=["system", "assistant"])
        assert both == "Be kind.<|im_end|>" + A[1][1] + "<|im_end|>"

    def test_flags_and_weights(self) -> None:
        turns = (
            Message("user", "One"),
            Message("assistant", "no", train=False),
            Message("user", "Two"),
            Message("assistant", "yes", weight=1.0),
            Message("user", "Three", train=True),
            Message("assistant", "never", weight=0.0),
            Message("user", "Four"),
            Message("assistant", "plain"),
        )
        trained = self.trained(Conversation(0, "messages", turns), loss_on="flags")
        assert trained == "yes<|im_end|>Three<|im_end|>plain<|im_end|>"

    def test_an_answer_that_repeats_the_question_is_not_confused_with_it(self) -> None:
        assert self.trained(chat(("user", "user"), ("assistant", "assistant"))) == "assistant<|im_end|>"

    def test_an_empty_answer_trains_its_stop_token(self) -> None:
        assert self.trained(chat(("user", "Hi"), ("assistant", ""))) == "<|im_end|>"
