"""The cache of keys and values, against figures worked out by hand."""

from __future__ import annotations

from dataclasses import replace

from core.memory.kv_cache import growth, kv_cache
from core.memory.plan import plan
from core.memory.verdict import Room
from core.models.architecture_of import read_architecture
from core.recipe import parse_recipe
from tests.unit.memory.shapes import LLAMA_3_8B, architecture


def test_llama_3_8b_takes_128_kib_per_token() -> None:
    shape = architecture(LLAMA_3_8B)
    assert kv_cache(shape, 1).bytes == 128 * 1024
    assert kv_cache(shape, 8192, sequences=4).bytes == 4 * 8192 * 128 * 1024
    assert growth(shape, 8192) == 8192 * 4 * 1024


def test_all_heads_cached_are_four_times_eight_of_thirty_two() -> None:
    every = architecture(LLAMA_3_8B, num_key_value_heads=32)
    assert kv_cache(every, 100).bytes == 4 * kv_cache(architecture(LLAMA_3_8B), 100).bytes


def test_sliding_layers_stop_at_their_window_less_one() -> None:
    shape = replace(
        architecture(LLAMA_3_8B), layer_kinds=("sliding",) * 16 + ("full",) * 16, sliding_window=1024
    )
    per_layer = 2 * 8 * 128 * 2
    assert kv_cache(shape, 4096).bytes == 16 * 1023 * per_layer + 16 * 4096 * per_layer
    assert kv_cache(shape, 500).bytes == 32 * 500 * per_layer


def test_recurrent_layers_keep_no_keys() -> None:
    shape = replace(architecture(LLAMA_3_8B), layer_kinds=("linear",) * 24 + ("full",) * 8)
    assert kv_cache(shape, 1000).bytes == kv_cache(architecture(LLAMA_3_8B), 1000).bytes // 4


def test_latent_attention_caches_its_compressed_vector() -> None:
    shape = replace(
        architecture(LLAMA_3_8B), layer_kinds=("mla",) * 27, mla_kv_rank=512, mla_rope_dim=64
    )  # DeepSeek-V2-Lite's sizes
    assert kv_cache(shape, 1).bytes == 27 * (512 + 64) * 2


def test_transformers_4_caches_the_keys_and_values_of_every_head_of_latent_attention() -> None:
    shape = read_architecture(
        {
            "model_type": "deepseek_v2", "vocab_size": 102400, "hidden_size": 2048, "intermediate_size": 10944,
            "moe_intermediate_size": 1408, "num_hidden_layers": 27, "num_attention_heads": 16,
            "num_key_value_heads": 16, "kv_lora_rank": 512, "q_lora_rank": None, "qk_rope_head_dim": 64,
            "qk_nope_head_dim": 128, "v_head_dim": 128, "n_routed_experts": 64, "n_shared_experts": 2,
            "num_experts_per_tok": 6, "first_k_dense_replace": 1, "max_position_embeddings": 163840,
        }
    )  # fmt: skip
    now, before = kv_cache(shape, 1000), kv_cache(shape, 1000, expanded=True)
    assert now.bytes == 27 * 1000 * (512 + 64) * 2
    assert before.bytes == 27 * 1000 * 16 * (128 + 64 + 128) * 2
    assert round(before.bytes / now.bytes) == 9
    assert "expanded" in before.formula


def test_a_sample_answer_while_training_is_part_of_the_evaluation_phase() -> None:
    prompts = ["training.sample_prompts=['Say it.']", "training.sample_steps=10", "data.eval_fraction=0"]
    made = plan(parse_recipe("", prompts), architecture(LLAMA_3_8B), room=Room("cuda"))
    phase = next(phase for phase in made.phases if phase.name == "eval")
    cache = [item for item in phase.figures if item.category == "KV cache"]
    assert cache[0].bytes == (len("Say it.") + 64) * 128 * 1024
