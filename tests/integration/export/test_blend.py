"""Whole models blended by mergekit: the arithmetic recomputed from the files, and what is refused before it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.chat.subject import Subject
from core.errors import MissingError, UsageError
from core.export.blend import METHODS, blend, configuration, find_program
from core.export.shards import Checkpoint


@pytest.fixture(scope="module")
def models(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Subject]:
    """The base, and two models that went from it in directions of their own."""
    found = [Subject("base", tiny_model, dtype="float32")]
    for seed in (1, 2):
        folder = tmp_path_factory.mktemp("models") / f"m{seed}"
        model: Any = AutoModelForCausalLM.from_pretrained(tiny_model, dtype="float32")
        torch.manual_seed(seed)
        with torch.no_grad():
            for weights in model.parameters():
                weights.add_(torch.randn_like(weights) * 0.02)
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
        found.append(Subject(f"m{seed}", folder, dtype="float32"))
    return found


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("method", METHODS)
def test_what_mergekit_makes_is_what_is_said(method: str, models: list[Subject], tmp_path: Path) -> None:
    try:
        find_program()
    except MissingError:
        pytest.skip("mergekit is not installed")
    base, one, other = models
    done = blend([one, other], [0.75, 0.25], tmp_path / "out", method=method, base=base)
    assert (done.method, done.meaning) == (method, METHODS[method])
    ours = {name: Checkpoint(done.folder).read(name) for name in Checkpoint(done.folder).places}
    start, a, b = (weights_of(subject.model_folder) for subject in models)
    assert ours.keys() == a.keys()
    for name, found in ours.items():
        deltas = 0.75 * (a[name] - start[name]) + 0.25 * (b[name] - start[name])
        if method == "linear":
            assert torch.allclose(found, 0.75 * a[name] + 0.25 * b[name], atol=1e-6), name
        elif method == "task_arithmetic":
            assert torch.allclose(found, start[name] + deltas, atol=1e-6), name
        elif method == "slerp":
            mean = 0.75 * a[name] + 0.25 * b[name]
            assert torch.allclose(found, mean, atol=0.02), name  # the arc is short: nearly the chord
        else:
            moved = (found - start[name]).flatten()
            assert float(torch.nn.functional.cosine_similarity(moved, deltas.flatten(), dim=0)) > 0, name
    assert [check.what for check in done.checks] == ["blended against m1", "blended against m2"]
    assert AutoTokenizer.from_pretrained(done.folder).chat_template is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_the_configuration_holds_the_weights(models: list[Subject]) -> None:
    base, one, other = models
    found = configuration([one, other], [3.0, 1.0], "slerp", None, 0.5)
    assert found["parameters"] == {"t": 0.25} and found["base_model"] == str(one.model_folder)
    found = configuration([one, other], [1.0, 2.0], "ties", base, 0.3)
    assert found["base_model"] == str(base.model_folder)
    assert [part["parameters"] for part in found["models"]] == [
        {"weight": 1.0, "density": 0.3},
        {"weight": 2.0, "density": 0.3},
    ]


def test_what_cannot_be_blended_says_why(
    models: list[Subject], tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, one, other = models
    out = tmp_path / "out"
    with pytest.raises(UsageError, match="there is no method mean"):
        blend([one, other], [1, 1], out, method="mean")
    with pytest.raises(UsageError, match="slerp takes two models, not 3"):
        blend([one, other, base], [1, 1, 1], out, method="slerp")
    with pytest.raises(UsageError, match="ties needs the base they began with"):
        blend([one, other], [1, 1], out, method="ties")
    tuned = Subject("tuned", base.model_folder, adapter=tiny_adapter)
    with pytest.raises(UsageError, match="an adapter, not a whole model(.|\n)*tunedeck merge tuned"):
        blend([one, tuned], [1, 1], out)
    from core.demo.paths import MODEL

    with pytest.raises(UsageError, match="it has other weights than m1"):
        blend([one, Subject("demo", MODEL)], [1, 1], out)
    renamed = tmp_path / "renamed"
    tokenizer = AutoTokenizer.from_pretrained(one.model_folder)
    tokenizer.add_tokens(["another"])
    import shutil

    shutil.copytree(one.model_folder, renamed)
    tokenizer.save_pretrained(renamed)
    with pytest.raises(UsageError, match="another tokenizer than m1"):
        blend([one, Subject("renamed", renamed)], [1, 1], out)
    monkeypatch.setattr("core.export.blend.sys.executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="pip install mergekit"):
        blend([one, other], [1, 1], out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["renamed"]
