"""The cache of keys and values, against figures worked out by hand."""

from __future__ import annotations

from dataclasses import replace

from core.memory.kv_cache import growth, kv_cache
from core.memory.plan import plan
from core.memory.verdict import Room
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


def test_a_sample_answer_while_training_is_part_of_the_evaluation_phase() -> None:
    prompts = ["training.sample_prompts=['Say it.']", "training.sample_steps=10", "data.eval_fraction=0"]
    made = plan(parse_recipe("", prompts), architecture(LLAMA_3_8B), room=Room("cuda"))
    phase = next(phase for phase in made.phases if phase.name == "eval")
    cache = [item for item in phase.figures if item.category == "KV cache"]
    assert cache[0].bytes == (len("Say it.") + 64) * 128 * 1024
