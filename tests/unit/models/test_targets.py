"""Counts of trainable parameters against published figures and against PEFT's own."""

from __future__ import annotations

import pytest

from core.errors import UsageError
from core.models.architecture_of import read_architecture
from core.models.targets import matched, trainable_parameters, traps
from core.recipe import TunerSection

OPT_350M = {
    "model_type": "opt", "vocab_size": 50272, "word_embed_proj_dim": 512, "hidden_size": 1024, "ffn_dim": 4096,
    "num_hidden_layers": 24, "num_attention_heads": 16, "max_position_embeddings": 2048,
    "do_layer_norm_before": False,
}  # fmt: skip
LLAMA_3_8B = {
    "model_type": "llama", "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "tie_word_embeddings": False,
}  # fmt: skip
PHI_3 = {"model_type": "phi3"}
QKVO = ["q_proj", "k_proj", "v_proj", "o_proj"]


def tuner(**values: object) -> TunerSection:
    return TunerSection.model_validate(values)


@pytest.mark.parametrize(
    ("config", "settings", "trainable", "total"),
    [
        (OPT_350M, {"rank": 8, "targets": ["q_proj", "v_proj"]}, 786_432, 331_982_848),
        (
            OPT_350M,
            {"rank": 8, "targets": ["q_proj", "v_proj"], "modules_to_save": ["layer_norm"]},
            884_736,
            332_081_152,
        ),
        (
            OPT_350M,
            {"rank": 8, "targets": ["q_proj", "v_proj"], "modules_to_save": ["layer_norm", "embed_tokens"]},
            26_624_000,
            357_820_416,
        ),
        (OPT_350M, {"rank": 8, "targets": ["embed_tokens", "q_proj", "v_proj"]}, 1_192_704, 332_389_120),
        (OPT_350M, {"rank": 8, "targets": "all-linear"}, 3_563_520, 334_759_936),
        (OPT_350M, {"rank": 16, "targets": ["q_proj", "v_proj"]}, 1_572_864, 332_769_280),
        (LLAMA_3_8B, {"rank": 4, "targets": ["q_proj", "v_proj"]}, 1_703_936, 8_031_965_184),
        (LLAMA_3_8B, {"rank": 8, "targets": ["q_proj", "v_proj"]}, 3_407_872, 8_033_669_120),
        (LLAMA_3_8B, {"rank": 16, "targets": ["q_proj", "v_proj"]}, 6_815_744, 8_037_076_992),
        (LLAMA_3_8B, {"rank": 16, "targets": QKVO}, 13_631_488, 8_043_892_736),
        (LLAMA_3_8B, {"rank": 16, "targets": "all-linear"}, 41_943_040, 8_072_204_288),
        (LLAMA_3_8B, {"rank": 64, "targets": "all-linear"}, 167_772_160, 8_198_033_408),
        (PHI_3, {"rank": 32, "targets": ["qkv_proj", "down_proj"]}, 24_117_248, 3_845_196_800),
    ],
)
def test_published_lora_counts(config: dict, settings: dict, trainable: int, total: int) -> None:
    found = trainable_parameters(read_architecture(config), tuner(**settings))
    assert (found.trainable, found.total) == (trainable, total)


def test_adapter_bytes_are_the_saved_tensors() -> None:
    opt = read_architecture(OPT_350M)
    settings = tuner(rank=16, targets=["q_proj", "v_proj"])
    assert trainable_parameters(opt, settings).adapter_bytes == 6_291_456
    assert trainable_parameters(opt, settings, quantization="nf4").adapter_bytes == 3_145_728


def test_a_regular_expression_matches_the_whole_name() -> None:
    llama = read_architecture(LLAMA_3_8B)
    assert len(matched(llama, r"re:model\.layers\.[01]\.self_attn\.[qv]_proj")) == 4
    with pytest.raises(UsageError, match="no linear layer"):
        matched(llama, "re:q_proj")


def test_all_linear_leaves_the_head_out() -> None:
    assert len(matched(read_architecture(LLAMA_3_8B), "all-linear")) == 224


def test_a_name_that_matches_nothing_lists_what_there_is() -> None:
    with pytest.raises(UsageError, match="qkv_proj"):
        matched(read_architecture(PHI_3), ["q_proj"])


def test_a_norm_cannot_carry_an_adapter() -> None:
    with pytest.raises(UsageError, match="modules_to_save"):
        matched(read_architecture(LLAMA_3_8B), ["input_layernorm"])


def test_training_a_tied_embedding_is_told() -> None:
    opt = read_architecture(OPT_350M)
    assert "share one matrix" in traps(opt, tuner(modules_to_save=["embed_tokens"]))[0]
    assert traps(opt, tuner(modules_to_save=["layer_norm"])) == []
    assert "names nothing" in traps(opt, tuner(modules_to_save=["no_such"]))[0]
