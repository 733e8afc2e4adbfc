"""Counts and file sizes against PEFT itself: small real models, every adapter method, saved to disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import UsageError
from core.models.architecture_of import read_architecture
from core.models.targets import feedforward_outputs, matched, trainable_parameters, traps
from core.recipe import TunerSection

SMALL: dict[str, dict[str, Any]] = {
    "llama": {
        "vocab_size": 99, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2,
    },
    "qwen2": {
        "vocab_size": 99, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True,
    },
    "opt": {
        "vocab_size": 99, "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "word_embed_proj_dim": 16, "max_position_embeddings": 64, "do_layer_norm_before": False,
    },
    "gpt2": {"vocab_size": 99, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "phi3": {
        "vocab_size": 99, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0,
    },
    "mixtral": {
        "vocab_size": 99, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 3,
    },
    "qwen2_moe": {
        "vocab_size": 99, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "num_experts": 3, "moe_intermediate_size": 24,
        "shared_expert_intermediate_size": 40, "mlp_only_layers": [1], "num_experts_per_tok": 2,
    },
}  # fmt: skip

CASES: list[tuple[str, dict[str, Any]]] = [
    *((family, {"method": "lora", "rank": 4, "dropout": 0.0}) for family in SMALL),
    *((family, {"method": "dora", "rank": 4}) for family in SMALL if family not in ("mixtral", "qwen2_moe")),
    ("mixtral", {"method": "lora", "rank": 4, "dropout": 0.0, "targets": ["q_proj", "w1", "w3"]}),
    ("mixtral", {"method": "lora", "rank": 4, "dropout": 0.0, "targets": "re:.*layers\\.1\\..*(q_proj|w2)"}),
    ("mixtral", {"method": "dora", "rank": 4, "targets": ["q_proj", "v_proj"]}),
    ("qwen2_moe", {"method": "lora", "rank": 4, "dropout": 0.0, "targets": ["o_proj", "down_proj"]}),
    ("qwen2_moe", {"method": "lora", "rank": 4, "targets": ["shared_expert_gate", "q_proj"]}),
    *((family, {"method": "ia3"}) for family in ("llama", "gpt2", "opt")),
    *((family, {"method": "prefix", "virtual_tokens": 5}) for family in ("llama", "gpt2", "qwen2")),
    *((family, {"method": "prompt", "virtual_tokens": 5}) for family in ("llama", "gpt2")),
    ("llama", {"method": "rslora", "rank": 3, "targets": ["q_proj", "v_proj"]}),
    ("llama", {"method": "lora", "rank": 4, "targets": "re:.*layers\\.1\\..*(up|down)_proj"}),
    ("llama", {"method": "lora", "rank": 4, "targets": ["self_attn.q_proj"], "modules_to_save": ["lm_head"]}),
    ("qwen2", {"method": "lora", "rank": 4, "targets": ["q_proj"], "modules_to_save": ["embed_tokens"]}),
    ("qwen2", {"method": "lora", "rank": 4, "targets": ["q_proj"], "modules_to_save": ["lm_head"]}),
    ("qwen2", {"method": "lora", "rank": 4, "targets": ["q_proj", "embed_tokens"]}),
    ("opt", {"method": "lora", "rank": 4, "targets": ["embed_tokens", "v_proj"]}),
    ("opt", {"method": "lora", "rank": 4, "targets": ["v_proj"], "modules_to_save": ["layer_norm"]}),
    ("llama", {"method": "lora", "rank": 4, "targets": "all-linear", "modules_to_save": ["norm"]}),
]


@pytest.mark.parametrize(("family", "settings"), CASES)
def test_counts_and_saved_bytes_equal_peft(family: str, settings: dict[str, Any], tmp_path: Path) -> None:
    import peft
    import torch
    import transformers

    config = {"model_type": family, **SMALL[family]}
    architecture = read_architecture(config)
    tuner = TunerSection.model_validate(settings)
    full = transformers.AutoConfig.for_model(**config)
    model = transformers.AutoModelForCausalLM.from_config(full, dtype=torch.bfloat16)
    tuned = peft.get_peft_model(model, peft_config(architecture, tuner))
    trainable, total = tuned.get_nb_trainable_parameters()
    tuned.save_pretrained(tmp_path)

    found = trainable_parameters(architecture, tuner, dtype="bfloat16")
    assert (found.trainable, found.total) == (trainable, total)
    assert found.adapter_bytes == tensor_bytes(tmp_path / "adapter_model.safetensors")


def test_experts_take_no_dropout_and_no_dora() -> None:
    mixtral = read_architecture({"model_type": "mixtral", **SMALL["mixtral"]})
    with pytest.raises(UsageError, match=r"no dropout\nuse tuner.dropout = 0.0, or .*q_proj"):
        trainable_parameters(mixtral, TunerSection(dropout=0.05))
    with pytest.raises(UsageError, match="no DoRA"):
        trainable_parameters(mixtral, TunerSection(method="dora", dropout=0.0))
    with pytest.raises(UsageError, match="w1 cannot be trained without w3"):
        trainable_parameters(mixtral, TunerSection(targets=["w1"], dropout=0.0))
    assert "every expert" in traps(mixtral, TunerSection())[0]


def peft_config(architecture: Any, tuner: TunerSection) -> Any:
    import peft

    if tuner.method == "prefix":
        return peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=tuner.virtual_tokens)
    if tuner.method == "prompt":
        return peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=tuner.virtual_tokens)
    targets: Any = tuner.targets
    if isinstance(targets, str):
        targets = targets.removeprefix("re:")
    if tuner.method == "ia3":
        layers = matched(architecture, tuner.targets)
        return peft.IA3Config(
            task_type="CAUSAL_LM",
            target_modules=[one.name for one in layers],
            feedforward_modules=feedforward_outputs(layers),
        )
    return peft.LoraConfig(
        task_type="CAUSAL_LM",
        r=tuner.rank,
        target_modules=targets,
        lora_dropout=tuner.dropout,
        modules_to_save=tuner.modules_to_save or None,
        use_dora=tuner.method == "dora",
    )


def tensor_bytes(path: Path) -> int:
    """Bytes of the tensors in a safetensors file: all but the eight bytes of length and the header."""
    data = path.read_bytes()
    header = int.from_bytes(data[:8], "little")
    tensors = json.loads(data[8 : 8 + header])
    tensors.pop("__metadata__", None)
    assert sum(b - a for a, b in (t["data_offsets"] for t in tensors.values())) == len(data) - 8 - header
    return len(data) - 8 - header
