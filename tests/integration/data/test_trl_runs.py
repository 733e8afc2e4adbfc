"""Runs of TRL's own preparation with known outcomes: they come out so, and here nothing of it stays silent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.data.check import CheckReport, check
from core.data.convert import to_conversation
from core.data.drafting import Drafter
from core.data.encoders import exact_encoder
from core.data.rowpass import label_conversations
from core.data.tokenizer import load_tokenizer
from core.data.types import IGNORED, Conversation, Row
from core.recipe import DataSection, Recipe, with_changes
from tests.integration.data.trl_reference import Labelled, trl_row, trl_rows

HI, YES, SUM, FOUR = (
    {"role": role, "content": text}
    for role, text in (("user", "Hi"), ("assistant", "Yes."), ("user", "Sum?"), ("assistant", "4"))
)


class Model:
    """One of the shared tokenizers, through TRL's preparation and through ours."""

    def __init__(self, folder: Path, tmp_path: Path) -> None:
        self.folder, self.tokenizer, self._tmp_path = folder, load_tokenizer(folder), tmp_path

    def trl(self, *rows: dict[str, Any], ao: bool = False, **config: Any) -> list[Labelled]:
        numbered = [{"row": number, **raw} for number, raw in enumerate(rows)]
        return list(trl_rows(numbered, self.tokenizer.hf, assistant_only=ao, **config).values())

    def ours(self, raw: dict[str, Any], **section: Any) -> Labelled:
        data = DataSection(**section)
        conversation = to_conversation(Row(0, "rows.jsonl", 1, raw), data)
        assert isinstance(conversation, Conversation)
        batch = label_conversations(
            [conversation], Drafter(data, self.tokenizer), exact_encoder(self.tokenizer)
        )
        assert batch.drafts[0].problem == ""
        return batch.encoded.ids.tolist(), batch.labels.tolist()

    def check(self, *rows: dict[str, Any], **section: Any) -> CheckReport:
        path = self._tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(raw) + "\n" for raw in rows))
        changes = {"data.source": str(path), "data.eval_fraction": 0.0}
        return check(
            with_changes(Recipe(), changes | {f"data.{k}": v for k, v in section.items()}), self.folder
        )


@pytest.fixture
def qwen2_5(shared_data: Path, tmp_path: Path) -> Model:
    return Model(shared_data / "tokenizers" / "qwen2_5", tmp_path)


@pytest.fixture
def qwen3(shared_data: Path, tmp_path: Path) -> Model:
    return Model(shared_data / "tokenizers" / "qwen3", tmp_path)


@pytest.fixture
def mistral(shared_data: Path, tmp_path: Path) -> Model:
    return Model(shared_data / "tokenizers" / "mistral_v3", tmp_path)


def counts(row: Labelled) -> tuple[int, int]:
    """Trained tokens, and all."""
    return sum(label != IGNORED for label in row[1]), len(row[0])


def rows_of(report: CheckReport, code: str) -> tuple[int, ...]:
    return next((finding.rows for finding in report.findings if finding.code == code), ())


def test_messages_by_default_and_assistant_only(qwen2_5: Model) -> None:
    row = {"messages": [HI, YES]}
    (everything,) = qwen2_5.trl(row)
    assert counts(everything) == (34, 34) and everything == qwen2_5.ours(row, loss_on="all")
    (answers,) = qwen2_5.trl(row, ao=True)
    assert counts(answers) == (5, 34) and answers == qwen2_5.ours(row, template="trl-training")
    trained = [token for token in answers[1] if token != IGNORED]
    assert qwen2_5.tokenizer.hf.decode(trained) == "\nYes.<|im_end|>\n"


def test_prompt_and_completion(qwen2_5: Model, qwen3: Model) -> None:
    row = {"prompt": [HI], "completion": [YES]}
    assert [counts(item) for item in qwen3.trl(row)] == [(8, 17)] and qwen3.trl(row) == [qwen3.ours(row)]
    quiet = row | {"chat_template_kwargs": {"enable_thinking": False}}
    assert [counts(item) for item in qwen3.trl(quiet)] == [(4, 17)] and qwen3.trl(quiet) == [
        qwen3.ours(quiet)
    ]
    long = {"prompt": [HI, YES, SUM], "completion": [FOUR]}
    (both,) = qwen2_5.trl(long, ao=True)
    assert counts(both) == (3, 47) and both == qwen2_5.ours(
        long, template="trl-training", loss_on="assistant"
    )


def test_text_that_was_rendered_beforehand(qwen2_5: Model, mistral: Model) -> None:
    row = {"text": qwen2_5.tokenizer.hf.apply_chat_template([HI, YES], tokenize=False)}
    (twice,) = qwen2_5.trl(row)
    assert len(twice[0]) == 35 and twice == qwen2_5.ours(row)
    assert qwen2_5.tokenizer.hf.decode(twice[0][-3:]) == "<|im_end|>\n<|im_end|>"
    assert rows_of(qwen2_5.check(row), "double-eos") == (0,)
    row = {"text": mistral.tokenizer.hf.apply_chat_template([HI, YES], tokenize=False)}
    (doubled,) = mistral.trl(row)
    assert doubled[0][:2] == [1, 1] and counts(doubled) == (8, 8) and doubled == mistral.ours(row)
    assert rows_of(mistral.check(row), "double-bos") == (0,)


def test_rows_that_vanish(qwen2_5: Model) -> None:
    long = {"messages": [{"role": "user", "content": "Hi " * 60}, YES]}
    short = {"messages": [HI, YES]}
    assert len(qwen2_5.trl(long, short, ao=True, max_length=40)) == 1
    report = qwen2_5.check(long, short, max_length=40)
    assert report.examples == 1 and rows_of(report, "cut-before-answer") == (0,)


def test_a_row_without_an_answer_stops_trl_alone(qwen2_5: Model) -> None:
    rows = ({"messages": [HI, YES]}, {"messages": [HI]})
    with pytest.raises(RuntimeError, match="no assistant tokens"):
        qwen2_5.trl(*rows, ao=True)
    report = qwen2_5.check(*rows)
    assert report.examples == 1 and rows_of(report, "no-answer") == (1,)


def test_share_gpt_role_names(shared_data: Path, qwen2_5: Model, qwen3: Model, mistral: Model) -> None:
    path = shared_data / "datasets" / "sharegpt" / "fastchat_dummy_conversation.json"
    rows = [{"conversations": row["conversations"]} for row in json.loads(path.read_text())]
    assert [len(ids) for ids, _ in qwen2_5.trl(*rows, table=True)] == [21] * 500
    assert qwen3.trl(*rows, table=True) == []
    with pytest.raises(Exception, match="roles"):
        mistral.trl(*rows, table=True)
    for model in (qwen2_5, qwen3, mistral):
        report = model.check(*rows)
        assert report.examples == 500 - len(rows_of(report, "role-order-refused"))
        assert report.trained_tokens < report.tokens and report.tokens > 500 * 21


def test_weights_that_trl_does_not_read(shared_data: Path, qwen2_5: Model) -> None:
    path = shared_data / "datasets" / "weights" / "openai_weight_field_multiturn.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
    found = [counts(row) for row in qwen2_5.trl(*rows, ao=True)]
    assert (sum(trained for trained, _ in found), sum(length for _, length in found)) == (76, 220)
    ours = [counts(qwen2_5.ours(row, template="trl-training", loss_on="flags")) for row in rows]
    assert sum(trained for trained, _ in ours) < 76 and sum(length for _, length in ours) == 220
    assert rows_of(qwen2_5.check(*rows), "flags-unused")
    assert not rows_of(qwen2_5.check(*rows, loss_on="flags"), "flags-unused")


def test_the_row_shapes_agree(qwen2_5: Model) -> None:
    """The raw rows above are what `trl_row` makes of our conversations, so both sides see the same."""
    row = {"prompt": [HI], "completion": [YES]}
    conversation = to_conversation(Row(0, "a", 1, row), DataSection())
    assert isinstance(conversation, Conversation) and trl_row(conversation) == {"row": 0, **row}
