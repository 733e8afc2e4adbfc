"""Packing and collation: TRL's own, with the rows told and nothing lost in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.data.batch import collated
from core.data.packing import load_rows, pack, packing_report
from core.data.saved import SavedRows
from core.data.types import IGNORED
from core.errors import UsageError
from core.recipe import Recipe, parse_recipe


def save(folder: Path, rows: list[tuple[list[int], list[int]]]) -> Path:
    with SavedRows(folder) as saved:
        for number, (ids, labels) in enumerate(rows):
            saved.write(np.asarray(ids), np.asarray(labels), np.asarray([number]), np.asarray([len(ids)]))
        saved.finish("0" * 64)
    return folder


def recipe(packing: str, micro_batch: int = 2, max_length: int = 8) -> Recipe:
    return parse_recipe(
        f'[data]\npacking = "{packing}"\nmax_length = {max_length}\nloss_on = "all"\n'
        f"[training]\nmicro_batch = {micro_batch}\nseed = 7"
    )


DOCUMENTED: dict[str, dict[str, Any]] = {
    "bfd": {"ids": [[1, 2, 3, 4], [8, 9, 10, 11], [6, 7]], "lengths": [[4], [3, 1], [2]]},
    "bfd_split": {"ids": [[1, 2, 3, 4], [8, 9, 10, 5], [6, 7, 11]], "lengths": [[4], [3, 1], [2, 1]]},
    "wrapped": {"ids": [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11]], "lengths": None},
}


@pytest.mark.parametrize("strategy", ["bfd", "bfd_split", "wrapped"])
def test_packs_of_the_documented_example(tmp_path: Path, strategy: str) -> None:
    rows = [([1, 2, 3, 4, 5],) * 2, ([6, 7],) * 2, ([8, 9, 10],) * 2, ([11],) * 2]
    loaded = load_rows(save(tmp_path / "rows", rows))
    packed = pack(loaded, strategy, 4)
    expected = DOCUMENTED[strategy]
    assert list(packed["input_ids"]) == expected["ids"]
    if expected["lengths"]:
        assert list(packed["seq_lengths"]) == expected["lengths"]
    owner = {number: row for row, (ids, _) in enumerate(rows) for number in ids}
    assert [[owner[number] for number in ids] for ids in packed["input_ids"]] == list(packed["row"])
    report = packing_report(loaded, strategy, 4)
    assert report.tokens_lost == (1 if strategy == "bfd" else 0)
    assert report.packs == 3
    assert report.rows_split == {"bfd": 0, "bfd_split": 1, "wrapped": 2}[strategy]


rows_of_tokens = st.lists(
    st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=1, max_size=12), min_size=1, max_size=12
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=rows_of_tokens, strategy=st.sampled_from(["bfd", "bfd_split", "wrapped"]))
def test_packing_loses_no_trained_token_that_it_does_not_report(
    tmp_path: Path, rows: list[list[tuple[int, bool]]], strategy: str
) -> None:
    pairs = [
        ([number for number, _ in row], [number if on else IGNORED for number, on in row]) for row in rows
    ]
    loaded = load_rows(save(tmp_path / "rows", pairs))
    packed = pack(loaded, strategy, 8)
    report = packing_report(loaded, strategy, 8)
    kept = sum(label != IGNORED for labels in packed["labels"] for label in labels)
    assert kept + report.trained_tokens_lost == sum(on for row in rows for _, on in row)
    if strategy != "bfd":
        assert report.tokens_lost == 0


def test_a_flattened_batch_restarts_positions(tmp_path: Path) -> None:
    """TRL's documented collator example: boundaries, positions, the first label of every row masked."""
    folder = save(tmp_path / "rows", [([1, 2, 3], [1, 2, 3]), ([4, 5], [4, 5])])
    batch = collated(recipe("bfd", max_length=3), folder, 0, 0)
    first, second = batch.rows
    ids = {0: [1, 2, 3], 1: [4, 5]}
    flat = ids[first[0]] + ids[second[0]]
    assert batch.tensors["input_ids"].tolist() == [flat]
    assert batch.tensors["cu_seq_lens_q"].tolist() == [0, len(ids[first[0]]), 5]
    assert [position == 0 for position in batch.tensors["position_ids"][0]] == [
        label == IGNORED for label in batch.tensors["labels"][0]
    ]
    assert batch.waste == 0.0
    assert batch.trained_tokens == 3
    ends = [len(ids[first[0]]), 5]
    assert [(one.line, one.start, one.end, one.rows) for one in batch.stretches] == [
        (0, 0, ends[0], first),
        (0, ends[0], 5, second),
    ]


def test_a_padded_batch_shows_its_waste(tmp_path: Path) -> None:
    folder = save(tmp_path / "rows", [([1, 2, 3], [IGNORED, 2, 3]), ([4], [4])])
    batch = collated(recipe("none"), folder, 99, 0)
    assert sorted(batch.tensors["input_ids"].tolist()) == [[1, 2, 3], [4, 99, 99]]
    assert sorted(batch.tensors["labels"].tolist()) == [[IGNORED, 2, 3], [4, IGNORED, IGNORED]]
    assert sorted(batch.rows) == [(0,), (1,)]
    assert batch.waste == pytest.approx(2 / 6)
    assert [(one.line, one.start, one.end) for one in batch.stretches] == [(0, 0, 3), (1, 0, 3)]
    assert tuple(one.rows for one in batch.stretches) == batch.rows
    assert json.loads(json.dumps(batch.to_json()))["places"] == 6


def test_a_batch_beyond_the_last_is_a_usage_error(tmp_path: Path) -> None:
    folder = save(tmp_path / "rows", [([1], [1])])
    with pytest.raises(UsageError, match="no batch 1"):
        collated(recipe("none"), folder, 0, 1)


@pytest.mark.parametrize("packing", ["none", "bfd"])
def test_the_trainer_draws_the_same_batches(tmp_path: Path, packing: str) -> None:
    """The batches shown are those of a real SFTTrainer's data loader, in its order, over two epochs."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from core.workspace import EMBEDDED_MODEL

    rows = [([number] * (1 + number % 5),) * 2 for number in range(1, 12)]
    folder = save(tmp_path / "rows", rows)
    shown = recipe(packing)
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(EMBEDDED_MODEL),
        SFTConfig(
            output_dir=str(tmp_path / "run"),
            per_device_train_batch_size=2,
            seed=7,
            data_seed=7,
            max_length=8,
            packing=packing != "none",
            dataset_kwargs={"skip_prepare_dataset": packing == "none"},
            report_to=[],
            use_cpu=True,
            bf16=False,
        ),
        train_dataset=load_rows(folder),
        processing_class=AutoTokenizer.from_pretrained(EMBEDDED_MODEL),
    )
    loader = trainer.get_train_dataloader()
    pad_id = trainer.processing_class.pad_token_id
    for epoch in range(2):
        for number, batch in enumerate(loader):
            ours = collated(shown, folder, pad_id, number, epoch)
            assert set(ours.tensors) == set(batch)
            for name, value in batch.items():
                assert np.array_equal(ours.tensors[name], value), (epoch, number, name)
        assert ours.batches == number + 1
