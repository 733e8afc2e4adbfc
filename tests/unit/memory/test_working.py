"""The working set of a block and what the layers keep, to the byte."""

from __future__ import annotations

from core.memory.figure import total
from core.memory.setting import Lengths, Setting, resolve
from core.memory.stack import Stack
from core.memory.working import (
    cached_casts,
    kept_activations,
    last_checkpoint,
    last_norm,
    transient,
    working_set,
)
from core.recipe import parse_recipe
from tests.unit.memory.shapes import LLAMA_3_8B, architecture

SHAPE = architecture(LLAMA_3_8B)
TOKENS, H, F = 4 * 1024, 4096, 14336


def setting(*changes: str) -> Setting:
    recipe = parse_recipe("", ["data.max_length=1024", "tuner.dropout=0.0", *changes])
    return resolve(recipe, SHAPE, lengths=Lengths(10, 1024, 1024.0), stack=Stack(), device="cuda")


def test_a_full_bf16_block_beyond_its_checkpoints_is_the_closed_form() -> None:
    found = setting("tuner.method=full")
    assert total(kept_activations(found, SHAPE)) == TOKENS * 2 * H * 32
    assert (
        total(working_set(found, SHAPE)) == TOKENS * 274_568 + 2 * F * H
    )  # docs: 4 f + 4 h, one weight gradient
    assert transient(found) == (4, 4)
    assert total(last_checkpoint(found, SHAPE)) == TOKENS * 2 * H
    assert last_norm(found, SHAPE).bytes == TOKENS * (6 * H + 12)


def test_frozen_layers_keep_their_checkpoints_and_nothing_else() -> None:
    on = setting("tuner.method=freeze", "tuner.train_last_layers=4")
    assert total(kept_activations(on, SHAPE)) == TOKENS * 2 * H * 32
    assert total(last_checkpoint(on, SHAPE)) == TOKENS * 2 * H * 29
    off = setting("tuner.method=freeze", "tuner.train_last_layers=4", "training.gradient_checkpointing=false")
    assert total(kept_activations(off, SHAPE)) == TOKENS * 200_840 * 4


def test_a_4_bit_weight_is_whole_before_the_gradients_come() -> None:
    figures = working_set(
        setting("model.quantization=nf4", "data.max_length=16", "training.micro_batch=1"), SHAPE
    )
    whole = [item.bytes for item in figures if item.category == "dequantisation"]
    assert whole == [2 * F * H]


def test_eager_scores_have_gradients_before_and_after_the_softmax() -> None:
    recipe = parse_recipe("", ["data.max_length=4096", "model.attention=eager", "model.quantization=nf4"])
    found = resolve(recipe, SHAPE, lengths=Lengths(10, 4096, 4096.0), stack=Stack(), device="cuda")
    figures = working_set(found, SHAPE)
    scores = 4 * 4096 * 32 * 4096
    assert 8 * scores in [item.bytes for item in figures]
    kept = [item.bytes for item in figures if "scores 4 B" in item.formula]
    assert kept == [4 * scores]  # their 16-bit copy has had its backward


def test_casts_of_weights_that_train_are_kept_until_the_forward_ends() -> None:
    linears = 32 * (2 * H * H + 2 * H * 1024 + 3 * H * F)
    mixed = ("tuner.method=full", "model.dtype=float32", "training.extra.bf16=true")
    assert total(cached_casts(setting(*mixed), SHAPE)) == 2 * linears
    last = setting("tuner.method=freeze", "tuner.train_last_layers=4", *mixed[1:])
    assert total(cached_casts(last, SHAPE)) == 2 * linears // 8
    for other in (("tuner.method=full",), mixed[:2], mixed[1:]):  # bf16; no autocast; LoRA on an fp32 base
        assert cached_casts(setting(*other), SHAPE) == []
