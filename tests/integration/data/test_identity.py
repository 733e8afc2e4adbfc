"""Ids and labels equal TRL's own, row for row, wherever TRL prepares a row without one of its known faults."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.data.convert import to_conversation
from core.data.drafting import Drafter
from core.data.encoders import exact_encoder
from core.data.prepare import prepare
from core.data.rowpass import Outcome, kept_rows, label_conversations
from core.data.rows import read_rows
from core.data.saved import open_saved
from core.data.tokenizer import Tokenizer, load_tokenizer
from core.data.types import Conversation
from core.errors import TunedeckError
from core.recipe import DataSection, parse_recipe
from core.workspace import EMBEDDED_DATA, EMBEDDED_MODEL
from tests.integration.data.trl_reference import Labelled, trl_row, trl_rows

MODES = ("assistant", "completion", "all")
TOKENIZERS = (
    "qwen2_5",
    "qwen3",
    "phi3_mini",
    "phi4",
    "gpt_oss",
    "smollm2",
    "olmo2",
    "granite3",
    "mistral_v3",
    "gpt2",
)
MAX_LENGTH = 1024


def ours_of(
    conversations: list[Conversation], section: DataSection, tokenizer: Tokenizer
) -> tuple[dict[int, Labelled], Outcome]:
    batch = label_conversations(conversations, Drafter(section, tokenizer), exact_encoder(tokenizer))
    outcome = Outcome()
    kept = kept_rows(batch, section.max_length, outcome)
    rows, start = {}, 0
    for number, length in zip(kept.rows.tolist(), kept.lengths.tolist(), strict=True):
        rows[number] = (
            kept.ids[start : start + length].tolist(),
            kept.labels[start : start + length].tolist(),
        )
        start += length
    return rows, outcome


def sets_of(files: list[Path], rows: int) -> Iterator[tuple[Path, str, list[tuple[Any, Conversation]]]]:
    """The raw rows and conversations of every file, kind by kind, as TRL decides by the first row."""
    for file in files:
        source = read_rows(str(file))
        section = DataSection(source=str(file))
        read = [(row.raw, to_conversation(row, section)) for row in source.read(0, rows)]
        found = [(raw, item) for raw, item in read if isinstance(item, Conversation)]
        for kind in sorted({item.kind for _, item in found} - {"preference"}):
            yield file, kind, [(raw, item) for raw, item in found if item.kind == kind]


def compare(file: Path, conversations: list[Conversation], mode: str, tokenizer: Tokenizer) -> int:
    """Compare one set under one mode; the number of rows compared. 0 where TRL cannot serve the mode."""
    template = "trl-training" if mode == "assistant" else "model"
    try:
        section = DataSection(loss_on=mode, template=template, max_length=MAX_LENGTH)  # type: ignore[arg-type]
        ours, outcome = ours_of(conversations, section, tokenizer)
    except TunedeckError as error:
        assert "no training variant" in str(error)
        return 0
    # TRL stops at the first row that it cannot render, or that has no answer: such rows are reported here.
    stops_trl = {"template-refuses", "no-template", "no-trained-token", "loss-on-impossible"}
    stopping = {row for code in stops_trl for row, _ in outcome.problems.get(code, [])}
    rows = [trl_row(item) for item in conversations if item.row not in stopping]
    if not rows:
        return 0
    config: dict[str, Any] = {"completion_only_loss": False} if mode == "all" else {}
    theirs = trl_rows(rows, tokenizer.hf, assistant_only=mode == "assistant", max_length=MAX_LENGTH, **config)
    different = [row for row in ours.keys() | theirs.keys() if ours.get(row) != theirs.get(row)]
    assert different == [], f"{file.name} {mode}: rows {different[:5]}"
    return len(rows)


def served(kind: str, mode: str) -> bool:
    if mode == "assistant":
        return kind in ("messages", "prompt-completion")
    return mode == "all" or kind in ("prompt-completion", "text-completion")


@pytest.mark.slow
@pytest.mark.parametrize("name", TOKENIZERS)
def test_every_shared_set_in_every_mode(shared_data: Path, name: str) -> None:
    tokenizer = load_tokenizer(shared_data / "tokenizers" / name)
    files = [path for path in sorted((shared_data / "datasets").rglob("*.*")) if path.parent.name != "meta"]
    compared = 0
    for file, kind, found in sets_of([path for path in files if path.suffix != ".md"], rows=60):
        for mode in MODES:
            if served(kind, mode):
                compared += compare(file, [item for _, item in found], mode, tokenizer)
    assert compared > 100


@pytest.mark.parametrize("name", ["qwen2_5", "mistral_v3"])
def test_two_tokenizers_on_the_first_rows(shared_data: Path, name: str) -> None:
    tokenizer = load_tokenizer(shared_data / "tokenizers" / name)
    folder = shared_data / "datasets"
    files = [
        folder / "messages" / "oasst_en_threads_messages.jsonl",
        folder / "prompt_completion" / "oasst_conversational.jsonl",
        folder / "prompt_completion" / "mlx_wwdc25_200.jsonl",
        folder / "text" / "mlx_wikisql_train_300.jsonl",
        folder / "tools" / "lf_glaive_toolcall_en_demo_120.json",
        folder / "thinking" / "gsm8k_multi_turn_think_30.jsonl",
    ]
    compared = sum(
        compare(file, [item for _, item in found], mode, tokenizer)
        for file, kind, found in sets_of(files, rows=8)
        for mode in MODES
        if served(kind, mode)
    )
    assert compared >= 60


def test_raw_rows_in_the_shapes_trl_reads(shared_data: Path) -> None:
    """The files as they stand, not what conversion makes of them."""
    tokenizer = load_tokenizer(shared_data / "tokenizers" / "qwen3")
    folder = shared_data / "datasets"
    files = [
        folder / "messages" / "oasst_en_threads_messages.jsonl",
        folder / "thinking" / "gsm8k_reasoning_content_100.jsonl",
        folder / "weights" / "axolotl_train_flags.jsonl",
        folder / "kto" / "oasst_unpaired.jsonl",
        folder / "prompt_completion" / "oasst_conversational.jsonl",
        folder / "prompt_completion" / "mlx_wwdc25_200.jsonl",
        folder / "text" / "mlx_wikisql_train_300.jsonl",
        folder / "pretokenized" / "fms_chat_tokenized_sequence.parquet",
    ]
    for file, kind, found in sets_of(files, rows=10):
        if kind not in ("messages", "prompt-completion", "text-completion", "text", "tokens"):
            continue
        mode = {"messages": "all", "text": "all", "tokens": "all"}.get(kind, "completion")
        conversations = [item for _, item in found]
        ours, _ = ours_of(conversations, DataSection(loss_on=mode, max_length=MAX_LENGTH), tokenizer)  # type: ignore[arg-type]
        raws = [{**raw, "row": item.row} for raw, item in found]
        theirs = trl_rows(raws, tokenizer.hf, assistant_only=False, max_length=MAX_LENGTH)
        assert ours == theirs, file.name


def test_the_trainer_itself_makes_the_same_of_the_demo_rows(tmp_path: Path) -> None:
    """A real SFTTrainer on the raw rows, against the folder that preparation writes."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    lines = (EMBEDDED_DATA / "yoda.jsonl").read_text().splitlines()[:40]
    raw = [json.loads(line) for line in lines]
    rows = [{"prompt": item["messages"][:-1], "completion": item["messages"][-1:]} for item in raw]
    source = tmp_path / "rows.jsonl"
    source.write_text("\n".join(json.dumps(row) for row in rows))
    recipe = parse_recipe(f'[data]\nsource = "{source}"\nmax_length = 32\neval_fraction = 0.0')
    saved = open_saved(prepare(recipe, EMBEDDED_MODEL, tmp_path / "out").folder)
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED_MODEL)
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(EMBEDDED_MODEL),
        SFTConfig(output_dir=str(tmp_path / "run"), max_length=32, report_to=[], use_cpu=True, bf16=False),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    theirs = [(row["input_ids"], row["labels"]) for row in trainer.train_dataset]
    assert [(row["input_ids"], row["labels"]) for row in saved] == theirs
