"""Merging from disk to disk: bit for bit what PEFT's own `merge_and_unload` makes, in far less memory than the model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from core.chat.subject import Subject
from core.errors import TunedeckError
from core.export import shards
from core.export.hollow import hollow, streamed_logits
from core.export.merge import merge
from core.export.shards import Checkpoint
from tests.integration.tiny import make_adapter, make_model


def subject_of(model: Path, adapter: Path, **changes: Any) -> Subject:
    options = {"dtype": "float32", **changes}
    return Subject("tiny", model, adapter=adapter, template_folder=adapter, **options)


def by_peft(model: Path, adapter: Path, dtype: str) -> dict[str, torch.Tensor]:
    base = AutoModelForCausalLM.from_pretrained(model, dtype=dtype)
    return PeftModel.from_pretrained(base, adapter).merge_and_unload(safe_merge=True).state_dict()


def saved_in(folder: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for file in folder.glob("*.safetensors"):
        tensors |= load_file(file)
    return tensors


@pytest.fixture(scope="module")
def tied_model(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tied"
    config = LlamaConfig.from_pretrained(tiny_model, tie_word_embeddings=True)
    torch.manual_seed(3)
    LlamaForCausalLM(config).save_pretrained(folder, max_shard_size="20KB")
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    assert len(list(folder.glob("*.safetensors"))) > 3
    return folder


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"use_dora": True},
        {"use_rslora": True, "rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 3}},
        {"target_modules": r".*\.1\..*(gate|up)_proj"},
        {"modules_to_save": ["lm_head", "norm"]},
        {"trainable_token_indices": [3, 7]},
    ],
    ids=["lora", "dora", "patterns", "by-pattern", "modules_to_save", "tokens"],
)
def test_bit_for_bit_as_peft(
    tiny_model: Path, tmp_path: Path, changes: dict[str, Any], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_BYTES", 20_000)
    adapter = make_adapter(tiny_model, tmp_path / "adapter", seed=4, **changes)
    done = merge(subject_of(tiny_model, adapter, dtype=dtype), tmp_path / "merged")
    theirs, ours = by_peft(tiny_model, adapter, dtype), saved_in(done.folder)
    assert ours.keys() == theirs.keys()
    assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []
    assert done.checks[0].same_choice >= 0.9


def test_tied_weights_stay_tied_or_are_written_apart(tied_model: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tied_model, tmp_path / "plain", seed=4)
    done = merge(subject_of(tied_model, adapter), tmp_path / "merged")
    assert "lm_head.weight" not in saved_in(done.folder)
    assert done.checks[0].max_difference < 1e-4

    # A head saved whole differs from the embedding: both are written, and the config says so.
    adapter = make_adapter(tied_model, tmp_path / "head", seed=4, modules_to_save=["lm_head"])
    weights = load_file(adapter / "adapter_model.safetensors")
    key = next(key for key in weights if "lm_head" in key)
    weights[key] = weights[key] + 1.0
    from safetensors.torch import save_file

    save_file(weights, adapter / "adapter_model.safetensors")
    done = merge(subject_of(tied_model, adapter), tmp_path / "untied")
    saved = saved_in(done.folder)
    assert torch.equal(saved["lm_head.weight"], saved["model.embed_tokens.weight"] + 1.0)
    assert json.loads((done.folder / "config.json").read_text())["tie_word_embeddings"] is False
    assert done.checks[0].max_difference < 1e-3
    loaded = AutoModelForCausalLM.from_pretrained(done.folder, dtype="float32")
    assert torch.equal(loaded.lm_head.weight, saved["lm_head.weight"])


def test_streamed_logits_are_those_of_the_whole_model(tied_model: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tied_model, tmp_path / "adapter", seed=5, use_dora=True)
    tokenizer = AutoTokenizer.from_pretrained(tied_model)
    prompts = [tokenizer.encode("the cat sees the dog"), tokenizer.encode("a")]
    empty = hollow(subject_of(tied_model, adapter), tokenizer, Checkpoint(tied_model))
    assert empty is not None
    found = streamed_logits(empty, prompts)
    whole = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(tied_model, dtype="float32"), adapter
    ).eval()
    for prompt, logits in zip(prompts, found, strict=True):
        expected = whole(torch.tensor([prompt])).logits[0]
        assert torch.allclose(logits, expected, atol=1e-4)
    assert all(p.is_meta for name, p in empty.model.named_parameters() if "lora_" not in name)


def test_the_memory_of_a_merge_is_far_below_the_model(tmp_path: Path) -> None:
    """A model of 282 MB in eight files, merged by a process that grows by less than half of it."""
    make_model(tmp_path / "small")
    config = LlamaConfig.from_pretrained(
        tmp_path / "small", hidden_size=512, intermediate_size=2048, num_hidden_layers=44, dtype="bfloat16",
        initializer_range=0.02,
    )  # fmt: skip
    folder = tmp_path / "large"
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder, max_shard_size="40MB")
    AutoTokenizer.from_pretrained(tmp_path / "small").save_pretrained(folder)
    adapter = make_adapter(folder, tmp_path / "adapter", seed=1)
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    assert size > 250_000_000 and len(list(folder.glob("*.safetensors"))) > 7
    # Pages of the mapped files are left out: the kernel takes them back when it needs them.
    code = (
        "import sys, threading, time\n"
        "from pathlib import Path\n"
        "from core.chat.subject import Subject\n"
        "from core.export.merge import merge\n"
        "largest = [0]\n"
        "def watch():\n"
        "    while True:\n"
        "        status = Path('/proc/self/status').read_text()\n"
        "        largest[0] = max(largest[0], int(status.split('RssAnon:')[1].split()[0]) * 1024)\n"
        "        time.sleep(0.002)\n"
        "threading.Thread(target=watch, daemon=True).start()\n"
        "def merged(model, adapter):\n"
        "    merge(Subject('l', model, adapter=adapter, template_folder=adapter), model.with_name(model.name + '-merged'))\n"
        "    return largest[0]\n"
        "small, small_adapter, large, adapter = map(Path, sys.argv[1:])\n"
        "before = merged(small, small_adapter)\n"  # what the libraries take for themselves
        "print(merged(large, adapter) - before)\n"
    )
    small_adapter = make_adapter(tmp_path / "small", tmp_path / "small-adapter", seed=1)
    arguments = [str(tmp_path / "small"), str(small_adapter), str(folder), str(adapter)]
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    grown = int(ran.stdout.splitlines()[-1])
    assert grown < size / 2, f"{grown / 1e6:.0f} MB for a model of {size / 1e6:.0f} MB"


def test_a_run_on_a_4_bit_base_is_merged_into_the_16_bit_one_and_the_difference_is_shown(
    tiny_model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    adapter = make_adapter(tiny_model, tmp_path / "adapter", seed=4)
    trained = subject_of(tiny_model, adapter, dtype="bfloat16", quantization="nf4")
    done = merge(trained, tmp_path / "merged")
    assert [check.what for check in done.checks] == [
        "merged against base and adapter",
        "merged against the nf4 training",
    ]
    theirs, ours = by_peft(tiny_model, adapter, "bfloat16"), saved_in(done.folder)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)  # not the rounded 4-bit weights
    rounding, quantising = done.checks
    assert quantising.mean_difference > 2 * rounding.mean_difference > 0


def test_a_model_whose_weights_are_joined_when_loaded_is_merged_whole(
    tmp_path: Path, tiny_model: Path
) -> None:
    from transformers import MixtralConfig, MixtralForCausalLM

    folder = tmp_path / "experts"
    config = MixtralConfig(
        vocab_size=320, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, num_local_experts=2, max_position_embeddings=256,
    )  # fmt: skip
    torch.manual_seed(0)
    MixtralForCausalLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    adapter = make_adapter(folder, tmp_path / "adapter", seed=4, target_modules=["q_proj", "v_proj"])
    said: list[str] = []
    done = merge(subject_of(folder, adapter), tmp_path / "merged", progress=said.append)
    assert "loading the base in full precision" in said
    assert done.checks[0].max_difference < 1e-3


def test_a_base_that_is_damaged_or_quantised_is_said_before_anything_is_written(
    tied_model: Path, tmp_path: Path
) -> None:
    import shutil

    adapter = make_adapter(tied_model, tmp_path / "adapter", seed=4)
    broken = tmp_path / "broken"
    shutil.copytree(tied_model, broken)
    shard = sorted(broken.glob("*.safetensors"))[2]
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(TunedeckError, match="it is cut"):
        merge(subject_of(broken, adapter), tmp_path / "out")
    shard.unlink()
    with pytest.raises(TunedeckError, match="weight files are missing"):
        merge(subject_of(broken, adapter), tmp_path / "out")
    config = json.loads((broken / "config.json").read_text())
    for name in broken.glob("*.safetensors"):
        name.unlink()
    for file in tied_model.glob("*.safetensors"):
        shutil.copy(file, broken)
    config["quantization_config"] = {"quant_method": "fp8"}
    (broken / "config.json").write_text(json.dumps(config))
    with pytest.raises(TunedeckError, match=r"stored quantised \(fp8\)"):
        merge(subject_of(broken, adapter), tmp_path / "out")
    assert not (tmp_path / "out").exists() and list(tmp_path.glob(".out*")) == []
