"""A tiny model, tiny prepared rows, and run folders made of them: real training in a few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from core.demo.paths import MODEL
from core.models.sources import ModelFiles
from core.recipe import Recipe, parse_recipe
from core.runs.create import RunData, write_run
from core.runs.folder import Run, new_run
from core.runs.identity import process_from_json
from core.runs.launch import launch
from core.runs.state import RunState, read_state
from core.workspace import Workspace

TINY = """
[model]
dtype = "float32"
[tuner]
rank = 4
dropout = 0.1
[data]
max_length = 64
[training]
max_steps = 6
learning_rate = 1e-3
micro_batch = 2
accumulation = 2
gradient_checkpointing = false
[launch]
devices = "cpu"
"""


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers with random, seeded weights and the demo's tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_rows(folder: Path, count: int, longest: int = 24, first_row: int = 0) -> None:
    """Prepared rows as the trainer is handed them; the first third of each row carries no loss."""
    import datasets

    rows = []
    for number in range(first_row, first_row + count):
        length = 8 + (number * 7) % (longest - 7)
        ids = [10 + (number * 13 + place * (number % 5 + 1)) % 200 for place in range(length)]
        labels = [-100] * (length // 3) + ids[length // 3 :]
        rows.append({"input_ids": ids, "labels": labels, "row": number})
    datasets.Dataset.from_list(rows).save_to_disk(str(folder))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "work")


MakeRun = Callable[..., Run]


@pytest.fixture
def make_run(workspace: Workspace, tiny_model: Path) -> Iterator[MakeRun]:
    """`make_run("training.max_steps=3", name="x", rows=40, eval_rows=8)` writes a run folder, ready to launch.

    Whatever trainer is still alive at the end of the test is ended, by its own number.
    """
    made: list[Run] = []

    def make(*changes: str, name: str = "tiny", rows: int = 40, eval_rows: int = 0) -> Run:
        recipe: Recipe = parse_recipe(TINY, changes)
        run = new_run(workspace, name)
        write_rows(run.data / "train", rows)
        if eval_rows:
            write_rows(run.data / "eval", eval_rows, first_row=1000)
        data = RunData(
            folder=run.data / "train",
            eval_folder=run.data / "eval" if eval_rows else None,
            rows=rows,
            examples=rows,
            tokens=rows * 16,
            trained_tokens=rows * 10,
            longest=24,
            digest="test",
        )
        write_run(run, workspace, recipe, ModelFiles(str(tiny_model), "folder", tiny_model, ""), data, None)
        made.append(run)
        return run

    yield make
    for run in made:
        process = process_from_json(run.read_json(run.identity).get("process"))
        if process is not None and process.pid != psutil.Process().pid and psutil.pid_exists(process.pid):
            psutil.Process(process.pid).kill()


@pytest.fixture
def make_trainer(make_run: MakeRun) -> Callable[..., Any]:
    """`make_trainer("tuner.method=dora")` builds the real trainer of a run in this very process."""
    from core.runs.events import EventWriter
    from core.train.building import build_trainer, open_session
    from core.train.signals import StopSignals

    def make(*changes: str, **options: Any) -> Any:
        run = make_run(*changes, **options)
        signals = StopSignals(lambda name: None)
        session = open_session(run, EventWriter(run.folder), signals, time.monotonic())
        return build_trainer(session)

    return make


def wait_for(run: Run, done: Callable[[RunState], bool], timeout_seconds: float = 60.0) -> RunState:
    """Poll the run's state until `done`; fails with the end of its log if that takes too long."""
    until = time.monotonic() + timeout_seconds
    while True:
        state = read_state(run.folder)
        if done(state):
            return state
        if time.monotonic() > until:
            log = run.log.read_text(errors="replace")[-3000:] if run.log.exists() else ""
            pytest.fail(f"the run is still {state.state} at step {state.step}\n{log}")
        time.sleep(0.1)


def train(run: Run, timeout_seconds: float = 60.0, *, resume: bool = False) -> RunState:
    """Launch a run and wait for its end."""
    launch(run, resume=resume)
    return wait_for(run, lambda state: state.ended, timeout_seconds)
