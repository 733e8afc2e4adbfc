"""An evaluation of the tiny model: figures recomputed row by row with bare torch, and going on after a stop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.chat import judge as module
from core.chat.evaluate import evaluate
from core.chat.judged import Evaluation
from core.chat.subject import Subject, base_of
from core.errors import TunedeckError
from tests.integration.tiny import TEMPLATE

CHATS = [
    ("the cat sees", "a dog"),
    ("a dog sees the cat and the dog", "the cat sees a dog"),
    ("dog", "cat cat cat"),
    ("sees the", "a"),
]


@pytest.fixture(scope="module")
def subject(tiny_model: Path, tiny_adapter: Path) -> Subject:
    return Subject("tiny", tiny_model, adapter=tiny_adapter, dtype="float32")


@pytest.fixture(scope="module")
def rows(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared rows: the answer and its stop token carry the labels. The last row has none."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    assert tokenizer.chat_template == TEMPLATE
    records: list[dict[str, Any]] = []
    for number, (user, answer) in enumerate(CHATS):
        head = tokenizer.encode(f"<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n")
        tail = tokenizer.encode(f"{answer}<|im_end|>")
        after = tokenizer.encode("\n")
        records.append(
            {
                "input_ids": head + tail + after,
                "labels": [-100] * len(head) + tail + [-100] * len(after),
                "row": number + 10,
            }
        )
    records.append({"input_ids": [5, 6], "labels": [-100, -100], "row": 99})
    folder = tmp_path_factory.mktemp("prepared") / "eval"
    Dataset.from_list(records).save_to_disk(folder)
    return folder


@pytest.fixture(scope="module")
def done(subject: Subject, rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    return evaluate(
        subject,
        rows,
        data="held.jsonl",
        out=tmp_path_factory.mktemp("evaluations"),
        against=base_of(subject),
        max_tokens=10,
        batch_size=3,
    )


def test_figures_recomputed_by_hand(
    done: Evaluation, tiny_model: Path, tiny_adapter: Path, rows: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    stops = [tokenizer.convert_tokens_to_ids(text) for text in ("<|im_end|>", "<|endoftext|>")]
    base: Any = AutoModelForCausalLM.from_pretrained(tiny_model, dtype="float32").eval()
    by_hand = {}
    for name in ("base", "tuned"):
        model = base if name == "base" else PeftModel.from_pretrained(base, tiny_adapter).eval()
        loss = hits = tokens = exact = stopped = 0.0
        for record in list(Dataset.load_from_disk(rows))[:-1]:
            ids, labels = torch.tensor(record["input_ids"]), torch.tensor(record["labels"])
            with torch.no_grad():
                chances = model(ids[None]).logits[0].log_softmax(-1)
            for position in range(1, len(ids)):
                if labels[position] != -100:
                    loss -= float(chances[position - 1, labels[position]])
                    hits += int(chances[position - 1].argmax() == labels[position])
                    tokens += 1
            start = int((labels != -100).nonzero()[0])
            got = model.generate(
                input_ids=ids[None, :start],
                attention_mask=torch.ones(1, start, dtype=torch.long),
                do_sample=False,
                max_new_tokens=10,
                eos_token_id=stops,
            )[0, start:].tolist()
            expected = [id for id in record["labels"] if id not in (-100, *stops)]
            content = [id for id in got if id not in stops]
            exact += tokenizer.decode(content, skip_special_tokens=True) == tokenizer.decode(expected)
            stopped += got[-1] in stops
        by_hand[name] = (loss / tokens, hits / tokens, exact / len(CHATS), stopped / len(CHATS))
    for judged in done.models:
        loss, accuracy, exact, stopped = by_hand[judged.name]
        assert judged.scores.loss == pytest.approx(loss, abs=1e-5)
        assert judged.scores.token_accuracy == pytest.approx(accuracy)
        assert judged.scores.exact_match == exact
        assert judged.scores.stop_rate == stopped
        assert (judged.scores.examples, judged.scores.answers) == (4, 4)
    assert [judged.name for judged in done.models] == ["tuned", "base"]
    assert done.differences["base"]["loss"].mean == pytest.approx(
        by_hand["tuned"][0] - by_hand["base"][0], abs=1e-5
    )


def test_the_report_is_written(done: Evaluation) -> None:
    report = json.loads((done.folder / "report.json").read_text())
    assert report["models"]["tuned"]["loss"] == done.models[0].scores.loss
    assert set(report["difference"]) == {"loss", "exact_match", "normalised_match", "chrf", "stop_rate"}
    assert set(report["worst"][0]) == {"row", "prompt", "expected", "answers"}
    assert set(report["worst"][0]["answers"]) == {"tuned", "base"}
    text = (done.folder / "report.md").read_text()
    assert "4 rows" in text and "![scores](scores.svg)" in text
    assert (done.folder / "scores.svg").read_text().startswith("<svg")


def test_a_stopped_evaluation_goes_on(
    done: Evaluation, subject: Subject, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = next(done.folder.glob("base-*.jsonl"))
    lines = ledger.read_text().splitlines()
    ledger.write_text("\n".join(lines[:-2]) + "\n" + lines[-2][:7])  # one answer lost, one line torn
    asked: list[int] = []
    real = module.answers

    def counted(model: Any, tokenizer: Any, prompts: Any, **options: Any) -> Any:
        asked.append(len(prompts))
        return real(model, tokenizer, prompts, **options)

    monkeypatch.setattr(module, "answers", counted)
    again = evaluate(
        subject, rows, data="held.jsonl", out=done.folder.parent, against=base_of(subject), max_tokens=10
    )
    assert sum(asked) == 2
    assert again.folder == done.folder
    assert [judged.scores for judged in again.models] == [judged.scores for judged in done.models]


def test_a_model_trained_whole_against_its_base(
    tiny_model: Path, tiny_adapter: Path, subject: Subject, rows: Path, done: Evaluation, tmp_path: Path
) -> None:
    """Two models in turn instead of one with a switch: the figures are those of the adapter on and off."""
    base: Any = AutoModelForCausalLM.from_pretrained(tiny_model, dtype="float32")
    PeftModel.from_pretrained(base, tiny_adapter).merge_and_unload().save_pretrained(tmp_path / "model")
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path / "model")
    whole = Subject("whole", tmp_path / "model", base_folder=tiny_model, dtype="float32")
    again = evaluate(whole, rows, data="x", out=tmp_path / "out", against=base_of(whole), max_tokens=10)
    assert [judged.name for judged in again.models] == ["tuned", "base"]
    for one, other in zip(again.models, done.models, strict=True):
        assert one.scores.loss == pytest.approx(other.scores.loss, abs=1e-4)
        assert one.scores.exact_match == other.scores.exact_match


def test_rows_without_labels_are_refused(subject: Subject, tmp_path: Path) -> None:
    Dataset.from_list([{"input_ids": [1, 2], "labels": [-100, -100], "row": 0}]).save_to_disk(
        tmp_path / "rows"
    )
    with pytest.raises(TunedeckError, match="no row holds a label"):
        evaluate(subject, tmp_path / "rows", data="x", out=tmp_path)


def test_the_base_with_examples_before_every_prompt(
    subject: Subject, rows: Path, tiny_model: Path, tmp_path: Path
) -> None:
    found = evaluate(
        subject,
        rows,
        data="x",
        out=tmp_path,
        against=base_of(subject),
        shots=2,
        examples_folder=rows,
        general=True,
        max_tokens=6,
    )
    assert [judged.name for judged in found.models] == ["tuned", "base", "base, 2 shots"]
    assert set(found.differences) == {"base", "base, 2 shots"}
    assert [judged.label for judged in found.models] == [
        "tiny",
        "tiny with its adapter off",
        "tiny with its adapter off, 2 training rows before every prompt",
    ]
    records = list(Dataset.load_from_disk(rows))[:-1]
    examples = records[0]["input_ids"] + records[2]["input_ids"]
    model: Any = AutoModelForCausalLM.from_pretrained(tiny_model, dtype="float32").eval()
    for record, row in zip(records, found.models[2].losses, strict=True):
        ids = torch.tensor(examples + record["input_ids"])
        labels = torch.tensor([-100] * len(examples) + record["labels"])
        with torch.no_grad():
            expected = model(ids[None], labels=labels[None]).loss
        assert row.loss_sum / row.tokens == pytest.approx(float(expected), abs=1e-4)
    # The general prompts are asked before and after, not of the base with examples.
    assert [len(judged.general) for judged in found.models] == [42, 42, 0]
    assert "general_right" in found.differences["base"]
    assert found.models[1].scores.loss != found.models[2].scores.loss
    text = (found.folder / "report.md").read_text()
    assert "## General prompts" in text and "less base, 2 shots (95 %)" in text
    assert (found.folder / "differences.svg").read_text().startswith("<svg")


def test_examples_that_do_not_fit_say_so(subject: Subject, rows: Path, tmp_path: Path) -> None:
    for shots, what in ((4, "more than the context of 256"), (9, "9 examples are asked for and there are 4")):
        with pytest.raises(TunedeckError, match=what):
            evaluate(subject, rows, data="x", out=tmp_path, shots=shots, examples_folder=rows, max_tokens=200)
