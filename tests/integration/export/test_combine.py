"""Combining adapters: cat is the exact weighted sum of the changes, and what cannot be combined says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from core.chat.subject import Subject
from core.errors import UsageError
from core.export.combine import METHODS, combine
from tests.integration.tiny import make_adapter


def subject_of(model: Path, adapter: Path) -> Subject:
    return Subject(adapter.name, model, adapter=adapter, template_folder=adapter, dtype="float32")


def change(adapter: Path, layer: str) -> torch.Tensor:
    """B·A scaled by alpha / rank (2 in these adapters), read from the file."""
    weights = load_file(adapter / "adapter_model.safetensors")
    key = f"base_model.model.model.layers.0.{layer}"
    return 2.0 * weights[f"{key}.lora_B.weight"] @ weights[f"{key}.lora_A.weight"]


@pytest.fixture(scope="module")
def second(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(tiny_model, tmp_path_factory.mktemp("adapters") / "second", seed=2)


def test_cat_is_the_exact_weighted_sum(
    tiny_model: Path, tiny_adapter: Path, second: Path, tmp_path: Path
) -> None:
    pair = [subject_of(tiny_model, tiny_adapter), subject_of(tiny_model, second)]
    done = combine(pair, [0.75, -0.5], tmp_path / "sum")
    assert (done.rank, done.check.max_difference) == (8, 0.0)
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype="float32")
    model = PeftModel.from_pretrained(base, done.folder)
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    expected = 0.75 * change(tiny_adapter, "self_attn.q_proj") - 0.5 * change(second, "self_attn.q_proj")
    assert torch.allclose(layer.get_delta_weight("default"), expected, atol=1e-5)
    assert (done.folder / "chat_template.jinja").is_file()


@pytest.mark.parametrize("method", ["svd", "linear", "ties", "dare_ties", "magnitude_prune"])
def test_other_methods_are_shown_against_the_sum(
    method: str, tiny_model: Path, tiny_adapter: Path, second: Path, tmp_path: Path
) -> None:
    pair = [subject_of(tiny_model, tiny_adapter), subject_of(tiny_model, second)]
    done = combine(pair, [0.5, 0.5], tmp_path / "out", method=method, density=0.5)
    assert done.check.max_difference > 0.0
    assert (done.rank, done.meaning) == (4, METHODS[method])


def test_what_cannot_be_combined(tiny_model: Path, tiny_adapter: Path, second: Path, tmp_path: Path) -> None:
    one, other = subject_of(tiny_model, tiny_adapter), subject_of(tiny_model, second)
    with pytest.raises(UsageError, match="there is no method slerp"):
        combine([one, other], [1, 1], tmp_path / "out", method="slerp")
    with pytest.raises(UsageError, match="2 adapters and 1 weights"):
        combine([one, other], [1], tmp_path / "out")
    with pytest.raises(UsageError, match="belongs to another base"):
        combine([one, subject_of(tmp_path, second)], [1, 1], tmp_path / "out")
    dora = make_adapter(tiny_model, tmp_path / "dora", seed=3, use_dora=True)
    with pytest.raises(UsageError, match="only plain LoRA"):
        combine([one, subject_of(tiny_model, dora)], [1, 1], tmp_path / "out")
    config = (second / "adapter_config.json").read_text()
    import shutil

    shutil.copytree(second, tmp_path / "larger")
    (tmp_path / "larger" / "adapter_config.json").write_text(config.replace('"r": 4', '"r": 16'))
    with pytest.raises(UsageError, match="linear needs equal ranks, and these are 4, 16"):
        combine([one, subject_of(tiny_model, tmp_path / "larger")], [1, 1], tmp_path / "out", method="linear")
    assert not (tmp_path / "out").exists()
