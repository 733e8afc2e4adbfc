"""What a strategy divides, gathers and keeps in buckets, to the byte."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.memory.setting import Lengths, Setting, resolve
from core.memory.sharding import buckets, gathered, gathered_layer, shard, upcast
from core.memory.stack import Stack
from core.recipe import parse_recipe
from tests.unit.memory.shapes import LLAMA_3_8B, architecture

SHAPE = architecture(LLAMA_3_8B)
HEAD = 128_256 * 4096
LAYER = 8_030_261_248 - 2 * HEAD


def setting(strategy: str, ranks: int, *changes: str) -> Setting:
    recipe = parse_recipe("", [f"launch.strategy={strategy}", f"launch.processes={ranks}", *changes])
    return resolve(recipe, SHAPE, lengths=Lengths(10, 512, 512.0), stack=Stack(), device="cuda")


@pytest.mark.parametrize(
    ("strategy", "divided"),
    [
        ("ddp", {}), ("zero1", {"optimizer": 4}), ("zero2", {"optimizer": 4, "gradients": 4}),
        ("zero3", {"optimizer": 4, "gradients": 4, "weights": 4}), ("fsdp", {"optimizer": 4, "gradients": 4, "weights": 4}),
    ],
)  # fmt: skip
def test_every_strategy_divides_what_it_says(strategy: str, divided: dict[str, int]) -> None:
    found = setting(strategy, 4)
    for kind in ("weights", "gradients", "optimizer"):
        assert shard(found, kind) == divided.get(kind, 1), kind


def test_sharded_weights_are_gathered_root_and_one_layer() -> None:
    found = setting("fsdp", 2)
    assert [item.bytes for item in gathered(found, SHAPE)] == [2 * 2 * HEAD]
    assert [item.bytes for item in gathered_layer(found, SHAPE)] == [LAYER // 32 * 2]
    quantised = replace(found, quantization="nf4")
    assert [item.bytes for item in gathered_layer(quantised, SHAPE)] == [round(LAYER // 32 * 0.75)]
    assert gathered(setting("ddp", 2), SHAPE) == gathered_layer(setting("zero2", 2), SHAPE) == []


def test_buckets_and_the_upcast_of_trained_weights() -> None:
    assert buckets(setting("single", 1), 100, SHAPE) == []
    assert [item.bytes for item in buckets(setting("ddp", 2), 100, SHAPE)] == [100]
    assert [item.bytes for item in buckets(setting("zero2", 2), 100, SHAPE)] == [2 * 4096**2 * 2]
    assert buckets(setting("fsdp", 2), 100, SHAPE) == []
    assert upcast(setting("fsdp", 2, "tuner.method=full")) == 2.0
    assert upcast(setting("fsdp", 2)) == upcast(setting("ddp", 2, "tuner.method=full")) == 1.0
