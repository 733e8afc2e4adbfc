"""GGUF: every family read back by transformers' own reader and compared, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFReader
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from core.chat.subject import Subject
from core.errors import TunedeckError, UsageError
from core.export.gguf import export_gguf
from core.export.gguf_families import FAMILIES
from core.export.gguf_tokens import pre_tokenizer_name

SIZES: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
    "rope_parameters": {"rope_type": "default", "rope_theta": 50000.0},
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
CHANGES: dict[str, dict[str, Any]] = {
    "llama": {"tie_word_embeddings": False},
    "mistral": {"sliding_window": None},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"head_dim": 32},
    "gemma2": {"head_dim": 16, "query_pre_attn_scalar": 16},
    "gemma3_text": {"head_dim": 16, "query_pre_attn_scalar": 16},
    "phi3": {},
}


def saved(family: str, tiny_model: Path, folder: Path, **changes: Any) -> Path:
    """A saved random model of a family, with the tiny model's tokenizer and norms that are not all one."""
    values = {**SIZES, **CHANGES[family], **changes}
    if family == "gemma3_text":
        values.pop("rope_parameters")
    config = AutoConfig.for_model(family, **values)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "norm" in name or name.endswith("bias"):
                weights.add_(torch.randn_like(weights) * 0.1)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_reads_back_exactly(family: str, tiny_model: Path, tmp_path: Path) -> None:
    folder = saved(family, tiny_model, tmp_path / "model")
    done = export_gguf(Subject(family, folder, dtype="float32"), tmp_path / "out.gguf", out_type="f32")
    assert done.arch == FAMILIES[family]
    assert done.checks[0].max_difference < 1e-3
    unread = {"qwen3": "head_dim", "gemma2": "query_pre_attn_scalar", "gemma3_text": "query_pre_attn_scalar"}
    expected = f"does not take {unread[family]} from a file" if family in unread else ""
    assert (expected in done.notes[0] and len(done.notes) == 1) if expected else done.notes == ()
    assert 0 < done.bytes - done.predicted_bytes < 40_000  # metadata and vocabulary
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(("out_type", "limit"), [("f16", 0.05), ("bf16", 0.5), ("q8_0", 2.0)])
def test_every_type(out_type: str, limit: float, tiny_model: Path, tmp_path: Path) -> None:
    folder = saved("llama", tiny_model, tmp_path / "model")
    done = export_gguf(Subject("tiny", folder, dtype="float32"), tmp_path / "out.gguf", out_type=out_type)
    assert 0 < done.checks[0].max_difference < limit
    kinds = {tensor.name: tensor.tensor_type.name for tensor in GGUFReader(done.file).tensors}
    assert kinds["blk.0.attn_q.weight"] == out_type.upper()
    assert kinds["blk.0.attn_norm.weight"] == "F32"


def test_an_adapter_is_merged_first(tiny_model: Path, tiny_adapter: Path, tmp_path: Path) -> None:
    subject = Subject("tiny", tiny_model, adapter=tiny_adapter, template_folder=tiny_adapter, dtype="float32")
    done = export_gguf(subject, tmp_path / "out.gguf", out_type="f32")
    assert done.checks[0].max_difference < 1e-3
    assert [path.name for path in tmp_path.iterdir()] == ["out.gguf"]
    reader = GGUFReader(done.file)

    def field(name: str) -> Any:
        return reader.fields[name].contents()

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    assert field("tokenizer.ggml.pre") == "gpt-2"
    assert field("tokenizer.ggml.eos_token_id") == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert field("tokenizer.chat_template") == tokenizer.chat_template
    assert field("tokenizer.ggml.add_bos_token") is False
    assert field("tokenizer.ggml.tokens")[:4] == tokenizer.convert_ids_to_tokens([0, 1, 2, 3])


def test_llama_3_scaling_is_written_as_divisors(tiny_model: Path, tmp_path: Path) -> None:
    scaling = {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    folder = saved("llama", tiny_model, tmp_path / "model", rope_parameters=scaling)
    done = export_gguf(Subject("tiny", folder, dtype="float32"), tmp_path / "out.gguf", out_type="f32")
    assert "does not take rope_parameters" in done.notes[0]
    tensor = next(t for t in GGUFReader(done.file).tensors if t.name == "rope_freqs.weight")
    # transformers divides its frequencies by the same numbers.
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    config = AutoConfig.from_pretrained(folder)
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, "cpu")
    plain = 1.0 / (500000.0 ** (torch.arange(0, 16, 2).float() / 16))
    assert torch.allclose(torch.tensor(tensor.data), plain / scaled, rtol=1e-5)


def test_what_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="q9 is no type that is known here(.|\n)*q8_0(.|\n)*q4_k_m"):
        export_gguf(Subject("tiny", tiny_model), tmp_path / "out.gguf", out_type="q9")
    gpt2 = tmp_path / "gpt2"
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model("gpt2", n_embd=32, n_layer=1, n_head=2, vocab_size=320)
    )
    model.save_pretrained(gpt2)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(gpt2)
    with pytest.raises(TunedeckError, match="not written for the family gpt2(.|\n)*convert_hf_to_gguf"):
        export_gguf(Subject("gpt2", gpt2), tmp_path / "out.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["gpt2"]


def test_real_tokenizers_have_their_names(shared_data: Path) -> None:
    expected = {
        "gpt2": "gpt-2",
        "qwen2_5": "qwen2",
        "qwen3": "qwen2",
        "smollm2": "smollm",
        "phi4": "llama-bpe",
    }
    for folder, name in expected.items():
        described = json.loads((shared_data / "tokenizers" / folder / "tokenizer.json").read_text())
        assert pre_tokenizer_name(described) == name
    gpt_oss = json.loads((shared_data / "tokenizers" / "gpt_oss" / "tokenizer.json").read_text())
    with pytest.raises(TunedeckError, match="split by Split, ByteLevel in a way that is not known"):
        pre_tokenizer_name(gpt_oss)
