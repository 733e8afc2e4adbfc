"""Bytes one block saves, against counts of the real model code and against the closed forms."""

from __future__ import annotations

import pytest

from core.memory.activations import saved_per_token
from core.memory.block import blocks_of
from core.memory.setting import Lengths, Setting, resolve
from core.memory.stack import Stack
from core.recipe import parse_recipe
from tests.unit.memory.shapes import LLAMA_3_8B, QWEN3_1_7B, architecture

ONE_LENGTH = Lengths(rows=100, longest=1024, mean=1024.0)  # equal rows need no mask


def setting(config: dict[str, object], *changes: str) -> Setting:
    recipe = parse_recipe("", ["tuner.dropout=0.0", "data.max_length=1024", *changes])
    return resolve(recipe, architecture(config), lengths=ONE_LENGTH, stack=Stack(), device="cuda")


@pytest.mark.parametrize(
    ("changes", "llama", "qwen"),
    [
        (["tuner.method=full"], 200_840, 112_808),
        (["tuner.method=full", "model.dtype=float32", "training.extra.bf16=true"], 241_800, 133_288),
        (["tuner.adapter_dtype=bfloat16"], 184_680, 98_696),
        (["tuner.adapter_dtype=float32"], 217_448, 115_080),
        (["tuner.adapter_dtype=float32", "training.extra.bf16=false"], 295_496, 152_168),
        (
            ["tuner.adapter_dtype=float32", "model.dtype=float32", "training.extra.bf16=true"],
            217_448,
            115_080,
        ),
    ],
)
def test_saved_bytes_per_token_of_a_block(changes: list[str], llama: int, qwen: int) -> None:
    found = {
        name: setting(config, *changes) for name, config in (("llama", LLAMA_3_8B), ("qwen", QWEN3_1_7B))
    }
    assert (
        saved_per_token(found["llama"], architecture(LLAMA_3_8B), blocks_of(architecture(LLAMA_3_8B))[0])
        == llama
    )
    assert (
        saved_per_token(found["qwen"], architecture(QWEN3_1_7B), blocks_of(architecture(QWEN3_1_7B))[0])
        == qwen
    )


def test_attention_kinds_of_a_llama_block() -> None:
    shape = architecture(LLAMA_3_8B)
    eager = setting(LLAMA_3_8B, "tuner.method=full", "model.attention=eager")
    assert saved_per_token(eager, shape, blocks_of(shape)[0]) == 409_608
    padded = resolve(
        parse_recipe("", ["tuner.method=full", "data.max_length=1024", "tuner.dropout=0.0"]),
        shape,
        lengths=Lengths(rows=100, longest=1024, mean=300.0),
        stack=Stack(),
        device="cuda",
    )
    assert padded.attention == "sdpa with mask"
    assert saved_per_token(padded, shape, blocks_of(shape)[0]) == 215_176
