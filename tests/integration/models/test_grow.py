"""A grown vocabulary: only when asked for, and its rows are trained, saved, merged and answered with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.demo import paths
from core.errors import UsageError
from core.models.grow import RECORD, grow
from core.recipe import parse_recipe
from core.runs.start import create
from core.workspace import Workspace
from tui import cli

TOKENS = ["<plan>", "</plan>"]


def test_new_rows_start_at_the_mean_and_old_ones_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    words = ["--token", TOKENS[0], "--token", TOKENS[1], "--out", "grown", "--json"]
    with pytest.raises(SystemExit) as left:
        cli.main(["--workspace", str(tmp_path), "models", "grow", "demo", *words])
    grown = json.loads(capsys.readouterr().out)
    assert left.value.code in (0, None)
    before = AutoModelForCausalLM.from_pretrained(paths.MODEL)
    after = AutoModelForCausalLM.from_pretrained(tmp_path / "grown")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "grown")
    used = len(AutoTokenizer.from_pretrained(paths.MODEL))
    assert grown["tokens"] == {"<plan>": used, "</plan>": used + 1} and len(tokenizer) == used + 2
    assert tokenizer("a<plan>b", add_special_tokens=False)["input_ids"].count(used) == 1
    old, new = before.get_input_embeddings().weight, after.get_input_embeddings().weight
    assert len(new) == grown["rows_after"] == max(grown["rows_before"], used + 2)
    assert torch.equal(new[:used], old[:used])
    assert torch.allclose(new[used], old[:used].float().mean(0).to(new.dtype), atol=1e-6)
    assert grown["tied"] and grown["modules_to_save"] == ["embed_tokens"]
    assert json.loads((tmp_path / "grown" / RECORD).read_text())["from"] == str(paths.MODEL)


@pytest.mark.parametrize("tokens", [[], ["<|im_end|>"], ["<a>", "<a>"], [" "]])
def test_what_adds_nothing_is_refused(tokens: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        grow(paths.MODEL, tokens, tmp_path / "grown")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_rows_are_trained_saved_and_merged(tmp_path: Path) -> None:
    import time

    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from core.chat.subject import subject
    from core.export.merge import merge
    from core.models.architecture_of import read_model
    from core.models.targets import trainable_parameters
    from core.runs.events import EventWriter
    from core.train.building import build_trainer, open_session
    from core.train.result import save_result
    from core.train.signals import StopSignals
    from core.train.tuner import counts

    grown = grow(paths.MODEL, TOKENS, tmp_path / "grown")
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Do {n}."},
                {"role": "assistant", "content": "<plan>it</plan>"},
            ]
        }
        for n in range(16)
    ]
    (tmp_path / "plan.jsonl").write_text("\n".join(map(json.dumps, rows)))
    recipe = parse_recipe(
        "",
        [
            f'model.source="{grown.folder}"', "model.dtype=float32", "data.source=plan.jsonl", "launch.devices=cpu",
            "training.max_steps=3", "training.learning_rate=0.01", "training.warmup=0.0", "data.eval_fraction=0.0",
            "training.gradient_checkpointing=false", 'tuner.targets=["q_proj"]', 'tuner.modules_to_save=["embed_tokens"]',
        ],
    )  # fmt: skip
    run = create(Workspace(tmp_path), recipe, name="grown")
    signals: Callable[..., Any] = StopSignals(lambda name: None)  # type: ignore[assignment]
    session = open_session(run, EventWriter(run.folder), signals, time.monotonic())  # type: ignore[arg-type]
    trainer = build_trainer(session)
    assert grown.tokens["<plan>"] in trainer.train_dataset[0]["labels"]
    planned = trainable_parameters(read_model(Path(grown.folder)), recipe.tuner)
    assert counts(trainer.model)[0] == planned.trainable
    trainer.train()
    save_result(session, trainer)
    run.events.write_text('{"kind": "end", "time": 1, "state": "done"}\n')

    ids = torch.tensor([[5, grown.tokens["<plan>"], 60]])
    base = AutoModelForCausalLM.from_pretrained(grown.folder, dtype="float32")
    untrained = base.get_input_embeddings().weight[grown.tokens["<plan>"]].detach().clone()
    tuned = PeftModel.from_pretrained(base, run.adapter).eval()
    with torch.no_grad():
        expected = trainer.model.eval()(ids).logits
        assert torch.allclose(tuned(ids).logits, expected, atol=1e-5)
    merged = merge(subject(run.id, Workspace(tmp_path)), tmp_path / "merged", dtype="float32")
    whole = AutoModelForCausalLM.from_pretrained(merged.folder, dtype="float32").eval()
    row = whole.get_input_embeddings().weight[grown.tokens["<plan>"]]
    assert not torch.allclose(row, untrained, atol=1e-3)
    assert whole.get_output_embeddings().weight is whole.get_input_embeddings().weight  # still tied
    with torch.no_grad():
        assert torch.allclose(whole(ids).logits, expected, atol=1e-4)
