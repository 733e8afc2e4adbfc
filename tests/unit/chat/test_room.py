"""What a chat needs, against figures made by hand, and what is said when it is not there."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from core.chat.room import need, require_room, weight_bytes
from core.chat.subject import Subject
from core.demo.paths import MODEL
from core.errors import TunedeckError
from core.memory.devices import Device

MIB = 1 << 20
HOST = Device("host", "host", free_bytes=64 * MIB)


def config() -> dict[str, int]:
    found: dict[str, int] = json.loads((MODEL / "config.json").read_text())
    return found


def test_weights_and_the_keys_and_values_of_every_conversation() -> None:
    subject = Subject("demo", MODEL, dtype="bfloat16")
    c = config()
    head = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
    tokens = min(4096, c["max_position_embeddings"])
    per_token = 2 * c["num_hidden_layers"] * c["num_key_value_heads"] * head * 2  # keys and values, two bytes
    found = need([subject], [HOST], conversations=3)
    assert found.cache_bytes == 3 * per_token * tokens
    assert (
        found.weights_bytes == weight_bytes(subject) == weight_bytes(replace(subject, dtype="float32")) // 2
    )
    assert found.bytes == found.weights_bytes + found.cache_bytes
    assert (found.where, found.verdict) == ("host memory", "fits")
    assert need([subject, subject], [HOST]).weights_bytes == found.weights_bytes


def test_a_quantised_base_is_smaller_but_for_embedding_and_head() -> None:
    whole = weight_bytes(Subject("demo", MODEL, dtype="bfloat16"))
    four = weight_bytes(Subject("demo", MODEL, dtype="bfloat16", quantization="nf4"))
    eight = weight_bytes(Subject("demo", MODEL, dtype="bfloat16", quantization="int8"))
    assert 0.28 * whole < four < eight < whole
    # Linear layers go from 16 bits to 4.5 and to 8; the rest stays, so both savings tell the same size.
    assert (whole - four) / 11.5 == pytest.approx((whole - eight) / 8, rel=1e-3)


def test_what_is_said_when_it_is_tight_or_too_much() -> None:
    subject = Subject("demo", MODEL, dtype="bfloat16")
    ample = need([subject], [HOST])
    tight = need([subject], [replace(HOST, free_bytes=ample.bytes - 1)])
    assert tight.verdict == "tight" and str(tight).startswith("tight: needs")
    require_room(tight)
    small = need([subject], [replace(HOST, free_bytes=ample.weights_bytes)])
    assert small.verdict == "does not fit"
    with pytest.raises(TunedeckError, match="does not fit: needs"):
        require_room(small)
    assert need([subject], [replace(HOST, free_bytes=None)]).verdict == "unknown"


def test_the_first_gpu_that_a_run_would_see_is_taken() -> None:
    gpu = Device("cuda", "Card", 0, free_bytes=8 << 30)
    hidden = replace(gpu, name="Hidden", visible=False)
    found = need([Subject("demo", MODEL, dtype="bfloat16")], [hidden, gpu, HOST])
    assert (found.where, found.free_bytes) == ("Card", 8 << 30)
    assert found.outside_bytes == 1 << 30  # the CUDA context
