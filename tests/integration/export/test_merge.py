"""Merging: the merged model answers as base and adapter do; what cannot be merged or written says so and leaves nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.chat.subject import Subject
from core.errors import TunedeckError, UsageError
from core.export.adapter import export_adapter
from core.export.merge import merge
from tests.integration.tiny import make_adapter


def subject_of(model: Path, adapter: Path | None) -> Subject:
    return Subject("tiny", model, adapter=adapter, template_folder=adapter, dtype="float32")


@pytest.mark.parametrize(
    "changes",
    [{}, {"use_dora": True}, {"use_rslora": True}, {"modules_to_save": ["lm_head"]}],
    ids=["lora", "dora", "rslora", "modules_to_save"],
)
def test_merged_equals_base_and_adapter(tiny_model: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    adapter = make_adapter(tiny_model, tmp_path / "adapter", seed=4, **changes)
    done = merge(subject_of(tiny_model, adapter), tmp_path / "merged")
    assert done.checks[0].max_difference < 1e-3
    assert done.checks[0].same_choice == 1.0

    ids = torch.tensor([AutoTokenizer.from_pretrained(tiny_model).encode("the cat sees the dog")])
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype="float32")
    plain = base(ids).logits
    tuned = PeftModel.from_pretrained(base, adapter)(ids).logits
    merged = AutoModelForCausalLM.from_pretrained(done.folder, dtype="float32")(ids).logits
    assert torch.allclose(merged, tuned, atol=1e-3)
    assert not torch.allclose(merged, plain, atol=0.1)
    assert AutoTokenizer.from_pretrained(done.folder).chat_template is not None
    assert "merged into `tiny`" in (done.folder / "README.md").read_text()
    assert [path.name for path in tmp_path.glob(".*")] == []


@pytest.mark.parametrize("saved", [["embed_tokens", "lm_head"], []], ids=["saved-whole", "carried"])
def test_a_resized_embedding_is_merged(tiny_model: Path, tmp_path: Path, saved: list[str]) -> None:
    from peft import LoraConfig, get_peft_model

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|new|>"]})
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype="float32")
    model.resize_token_embeddings(len(tokenizer))
    config = LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=saved or None, task_type="CAUSAL_LM")
    get_peft_model(model, config).save_pretrained(tmp_path / "adapter")
    tokenizer.save_pretrained(tmp_path / "adapter")
    done = merge(subject_of(tiny_model, tmp_path / "adapter"), tmp_path / "merged")
    assert done.checks[0].max_difference < 1e-3
    merged = AutoModelForCausalLM.from_pretrained(done.folder, dtype="float32")
    assert merged.get_input_embeddings().num_embeddings == len(tokenizer)
    assert torch.equal(merged.get_input_embeddings().weight, model.get_input_embeddings().weight)


def test_bfloat16_is_merged_with_its_rounding_shown(
    tiny_model: Path, tiny_adapter: Path, tmp_path: Path
) -> None:
    done = merge(subject_of(tiny_model, tiny_adapter), tmp_path / "merged", dtype="bfloat16")
    assert done.dtype == "bfloat16"
    assert 0 < done.checks[0].max_difference < 1.0
    assert json.loads((done.folder / "config.json").read_text())["dtype"] == "bfloat16"


def test_what_cannot_be_merged(tiny_model: Path, tiny_adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no adapter to merge"):
        merge(subject_of(tiny_model, None), tmp_path / "out")
    prompt = tmp_path / "prompt"
    shutil.copytree(tiny_adapter, prompt)
    config = json.loads((prompt / "adapter_config.json").read_text())
    (prompt / "adapter_config.json").write_text(json.dumps({**config, "peft_type": "PROMPT_TUNING"}))
    with pytest.raises(UsageError, match="prompt tuning acts beside the weights"):
        merge(subject_of(tiny_model, prompt), tmp_path / "out")
    (tmp_path / "taken").mkdir()
    with pytest.raises(UsageError, match="it exists already"):
        merge(subject_of(tiny_model, tiny_adapter), tmp_path / "taken")
    assert not (tmp_path / "out").exists()


def test_an_adapter_with_nan_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    adapter = make_adapter(tiny_model, tmp_path / "adapter", seed=5)
    weights = load_file(adapter / "adapter_model.safetensors")
    next(iter(weights.values())).fill_(float("nan"))
    save_file(weights, adapter / "adapter_model.safetensors")
    with pytest.raises(TunedeckError, match="cannot be merged"):
        merge(subject_of(tiny_model, adapter), tmp_path / "out")
    assert not (tmp_path / "out").exists() and list(tmp_path.glob(".out*")) == []


def test_a_full_disk_and_a_read_only_target_leave_nothing(
    tiny_model: Path, tiny_adapter: Path, tmp_path: Path
) -> None:
    # A limit on the size of any file this process writes acts as a disk that fills up in the middle.
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from core.chat.subject import Subject\n"
        "from core.errors import TunedeckError\n"
        "from core.export.merge import merge\n"
        "model, adapter, out = map(Path, sys.argv[1:])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "try:\n"
        "    merge(Subject('tiny', model, adapter=adapter, template_folder=adapter, dtype='float32'), out)\n"
        "except TunedeckError as error:\n"
        "    print(error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code, str(tiny_model), str(tiny_adapter), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cannot be written" in ran.stdout and "free space" in ran.stdout
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(TunedeckError, match="cannot be written"):
        merge(subject_of(tiny_model, tiny_adapter), Path("/proc/nowhere/out"))


def test_too_little_space_is_said_first(
    tiny_model: Path, tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.export import aside

    monkeypatch.setattr(aside.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(TunedeckError, match="the disk has 0.0 MiB free"):
        merge(subject_of(tiny_model, tiny_adapter), tmp_path / "out")


def test_the_adapter_folder(tiny_model: Path, tiny_adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for path in tiny_adapter.iterdir():
        shutil.copy(path, tmp_path / "source")
    (tmp_path / "source" / "optimizer.pt").write_bytes(b"x" * 1000)
    done = export_adapter(subject_of(tiny_model, tmp_path / "source"), tmp_path / "out")
    names = {path.name for path in done.folder.iterdir()}
    assert names == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "tokenizer.json",
        "tokenizer_config.json",
        "README.md",
    }
    assert done.tensors == 2 * 7 * 2  # A and B of seven linear layers in two blocks
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    PeftModel.from_pretrained(base, done.folder)
