"""Figures of textbooks and tutorials beside the plan's, entry by entry, with the reason where they differ.

    python benchmarks/rules_of_thumb.py [FILE]

FILE (shared/facts/oracles.json beside the project unless given) holds the entries; each is looked up by its id. Sizes
are GB (10^9 bytes), as books print them. Where a book names no length or batch, ours are 1 row of 2,048 tokens.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.memory.plan import Plan, plan
from core.memory.setting import Lengths
from core.memory.verdict import Room
from core.models.architecture_of import read_architecture
from core.recipe import parse_recipe

DEFAULT_FILE = Path(__file__).resolve().parents[2] / "shared" / "facts" / "oracles.json"
LLAMA = {
    "model_type": "llama",
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
    "num_attention_heads": 32,
}
SIZES: dict[str, dict[str, Any]] = {
    "3B": {**LLAMA, "vocab_size": 128256, "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28,
           "num_attention_heads": 24, "num_key_value_heads": 8, "tie_word_embeddings": True},
    "7B": {**LLAMA, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32},
    "13B": {**LLAMA, "hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 40,
            "num_attention_heads": 40},
    "33B": {**LLAMA, "hidden_size": 6656, "intermediate_size": 17920, "num_hidden_layers": 60,
            "num_attention_heads": 52},
    "65B": {**LLAMA, "hidden_size": 8192, "intermediate_size": 22016, "num_hidden_layers": 80,
            "num_attention_heads": 64},
    "70B": {**LLAMA, "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
            "num_attention_heads": 64, "num_key_value_heads": 8},
}  # fmt: skip
OPT_350M = {
    "model_type": "opt", "vocab_size": 50272, "word_embed_proj_dim": 512, "hidden_size": 1024, "ffn_dim": 4096,
    "num_hidden_layers": 24, "num_attention_heads": 16, "max_position_embeddings": 2048, "do_layer_norm_before": False,
}  # fmt: skip
METHODS = {
    "full": ["tuner.method=full"],
    "lora": [],
    "qlora": ["model.quantization=nf4"],
}
REASONS = {
    "full": "books count 12 B per parameter; bf16 weights, gradients and Adam states are 8 B, and the loss and one block come on top",
    "lora": "books count the rank as 1 % of the weights and 2 GB of activations, whatever the length and the vocabulary",
    "qlora": "embeddings, head and norms stay in 16 bit, scales come on top, and activations follow the length",
}


@dataclass(frozen=True)
class Row:
    """One entry: what a book prints, what the plan says, both in GB, and why they differ."""

    entry: str
    book_gb: float
    ours_gb: float
    reason: str


def planned(config: dict[str, Any], *changes: str, length: int = 2048) -> Plan:
    recipe = parse_recipe(
        "",
        [
            f"data.max_length={length}",
            "training.micro_batch=1",
            "training.accumulation=1",
            "data.eval_fraction=0",
            *changes,
        ],
    )
    return plan(recipe, read_architecture(config), Lengths(10, length, float(length)), room=Room("cuda"))


def category(made: Plan, name: str) -> int:
    return sum(item.bytes for item in made.static if item.category == name)


def rows_of(document: dict[str, Any]) -> Iterator[Row]:
    """Every entry that states bytes of weights, of training, or of a part of it."""
    found = {entry["id"]: entry["expected"] for entry in document["oracles"]}
    for name, dtype, quantization in (
        ("fp32", "float32", "none"), ("fp16", "float16", "none"), ("int8_rest16", "float16", "int8"),
        ("int8_rest32", "float32", "int8"), ("nf4_rest32", "float32", "nf4"), ("nf4_rest16", "float16", "nf4"),
    ):  # fmt: skip
        made = planned(
            OPT_350M, f"model.dtype={dtype}", f"model.quantization={quantization}", "tuner.dropout=0.0"
        )
        yield Row(
            f"fp.opt350m.{name}", found[f"fp.opt350m.{name}"] / 1e9, category(made, "weights") / 1e9, ""
        )
    for size, cells in found["mem.book.sizes"].items():
        for method, book in zip(METHODS, cells["printed"], strict=True):
            peak = planned(SIZES[size], *METHODS[method]).peak_allocated_bytes
            yield Row(f"mem.book.sizes {size} {method}", book, peak / 1e9, REASONS[method])
    seven = planned(SIZES["7B"], "tuner.method=full")
    gradients = next(item.bytes for item in seven.phases[4].figures if item.category == "gradients")
    yield Row(
        "mem.grad_opt 7B adam", found["mem.grad_opt"][-1], (gradients + category(seven, "optimizer")) / 1e9,
        "the model has 6.74 billion parameters, not 7",
    )  # fmt: skip
    printed = zip(("65B", "33B", "13B", "7B"), found["mem.qlora_sizes"]["printed_GB"], strict=True)
    for size, book in printed:
        made = planned(SIZES[size], "model.quantization=nf4")
        ours = made.static_bytes / 1e9
        yield Row(
            f"mem.qlora_sizes {size}", book, ours, "ours is what stays between steps; books add activations"
        )
    short: tuple[tuple[str, int, Callable[[], Plan]], ...] = (
        (
            "1 no ckpt, no LoRA, Adam",
            1,
            lambda: planned(OPT_350M, "tuner.method=full", *_small(False), length=500),
        ),
        (
            "9 ckpt, no LoRA, Adam",
            1,
            lambda: planned(OPT_350M, "tuner.method=full", *_small(True), length=500),
        ),
        ("5-8 no ckpt, LoRA", 1, lambda: planned(OPT_350M, *_small(False), length=500)),
        ("13-16 ckpt, LoRA", 1, lambda: planned(OPT_350M, *_small(True), length=500)),
    )
    table = found["mem.peak.opt350m_16bit_s500"]["rows"]
    for name, column, price in short:
        yield Row(
            f"mem.peak.opt350m_16bit_s500 {name}", table[name][column] / 1e3, price().peak_allocated_bytes / 1e9,
            "measured once on another stack; versions, targets and whether MB are MiB are not stated",
        )  # fmt: skip


def _small(checkpointing: bool) -> list[str]:
    """The tutorial's setting: logits built by the model, attention-only targets, foreach AdamW."""
    return [
        f"training.gradient_checkpointing={str(checkpointing).lower()}", "plan.loss=logits-14", "model.dtype=bfloat16",
        'tuner.targets=["q_proj", "v_proj"]', "training.optimizer=adamw_torch", "model.attention=sdpa",
    ]  # fmt: skip


def table(rows: list[Row]) -> str:
    lines = ["| entry | book GB | plan GB | difference | why |", "|---|---:|---:|---:|---|"]
    for row in rows:
        difference = row.ours_gb / row.book_gb - 1
        why = "" if abs(difference) < 0.005 else row.reason
        lines.append(f"| {row.entry} | {row.book_gb:.2f} | {row.ours_gb:.2f} | {difference:+.0%} | {why} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, nargs="?", default=DEFAULT_FILE)
    options = parser.parse_args()
    if not options.file.is_file():
        print(f"not run: the published figures are not at {options.file}")
        return
    print(table(list(rows_of(json.loads(options.file.read_text(encoding="utf-8"))))))


if __name__ == "__main__":
    main()
