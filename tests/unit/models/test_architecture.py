"""Parameter counts by group against published figures; what is refused and in which words."""

from __future__ import annotations

import subprocess
import sys

import pytest

from core.errors import TunedeckError
from core.models.architecture_of import read_architecture
from tests.unit.models.test_targets import LLAMA_3_8B, OPT_350M, PHI_3


def test_opt_350m() -> None:
    opt = read_architecture(OPT_350M)
    assert opt.parameters.total == 331_196_416
    blocks = [one for one in opt.linears if one.name != opt.head]
    assert sum(one.inputs * one.outputs for one in blocks) == 303_038_464
    assert len(blocks) == 146
    assert opt.tied and opt.parameters.head == 0


def test_phi_3() -> None:
    phi = read_architecture(PHI_3)
    assert phi.parameters.total == 3_821_079_552
    assert phi.parameters.embedding == phi.parameters.head == 98_500_608
    assert phi.parameters.norms == 199_680


def test_llama_3_8b() -> None:
    llama = read_architecture(LLAMA_3_8B)
    assert llama.parameters.total == 8_030_261_248
    assert llama.parameters.mlp / llama.parameters.total == pytest.approx(0.701988, abs=1e-6)
    assert (llama.heads, llama.kv_heads, llama.head_dim) == (32, 8, 128)
    assert llama.counted_by == "formula"


def test_mixtral_total_and_active() -> None:
    mixtral = read_architecture({"model_type": "mixtral"})
    assert mixtral.parameters.total == 46_702_792_704
    assert mixtral.active_parameters == 12_879_925_248


def test_a_missing_key_takes_the_default_of_its_family() -> None:
    assert read_architecture({"model_type": "gemma2"}).head_dim == 256
    assert read_architecture({"model_type": "gpt2", "n_layer": 2}).layers == 2


def test_sliding_and_full_layers() -> None:
    gemma = read_architecture({"model_type": "gemma3_text", "num_hidden_layers": 7})
    assert gemma.layer_kinds == ("sliding",) * 5 + ("full", "sliding")
    assert read_architecture({"model_type": "mistral", "sliding_window": None}).sliding_window is None


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "no model_type"),
        ({"model_type": "no_such_model"}, "not known to transformers"),
        ({"model_type": "t5"}, "encoder-decoder"),
        ({"model_type": "bert"}, "an encoder"),
        ({"model_type": "llava"}, "several modalities"),
        ({"model_type": "llama", "num_attention_heads": "many"}, "lacks or mistypes"),
    ],
)
def test_what_cannot_be_read_is_said(config: dict, words: str) -> None:
    with pytest.raises(TunedeckError, match=words):
        read_architecture(config)


def test_reading_a_config_imports_nothing_heavy() -> None:
    code = (
        "import sys; from core.models.architecture_of import read_architecture; "
        "read_architecture({'model_type': 'llama'}); "
        "print([m for m in ('torch', 'transformers', 'peft') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True).stdout == "[]\n"
