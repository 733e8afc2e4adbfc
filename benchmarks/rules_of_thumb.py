"""Figures of textbooks and tutorials beside the plan's, entry by entry, with the reason where they differ.

    python benchmarks/rules_of_thumb.py [FILE]

FILE (shared/facts/oracles.json beside the project unless given) holds the entries; each is looked up by its id. Sizes
are GB (10^9 bytes), as books print them, unless the row says otherwise. Where a book names no length or batch, ours
are 1 row of 2,048 tokens. Entries of the memory groups that state no size are named in `NO_SIZE`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.memory.cards import card_named
from core.memory.kv_cache import kv_cache
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
    "1B": {**LLAMA, "vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
           "num_key_value_heads": 8, "tie_word_embeddings": True},
    "10B": {**LLAMA, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 48,
            "num_key_value_heads": 8},
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
PHI_3 = {
    "model_type": "phi3", "vocab_size": 32064, "hidden_size": 3072, "intermediate_size": 8192,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32, "pad_token_id": 32000,
    "max_position_embeddings": 4096, "tie_word_embeddings": False,
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


COUNTS = "counts parameters"
NO_SIZE = {
    "fp.opt350m.params": COUNTS,
    "fp.phi3.params": COUNTS,
    "fp.llama3_8b.params": COUNTS,
    "fp.mixtral": COUNTS,
    "fp.naive_numel_4bit": COUNTS,
    "fp.opt350m.dtype_histogram": "counts tensors by type",
    "fp.opt350m.default_load_dtype": "names a type",
    "fp.gb_gib": "a change of units",
    "mem.book_formula": "the rule behind mem.book.sizes",
    "mem.fit_gate": "30 GB do not fit 24 GB",
    "mem.freeze_layers": "a share of the layers",
    "mem.peak.invariants": "orderings of the two tables of peaks",
    "mem.kbit_dtype_rule": "types of the parts whose bytes the footprints give",
}
ADAPTER_TARGETS = 'tuner.targets=["q_proj", "v_proj"]'
MEASURED = "measured once on another stack; versions, targets and whether MB are MiB are not stated"
UNTRUSTED = (
    "no room for activations beside 16-bit weights, gradients and optimizer states: the figure cannot hold"
)

SCORES = (
    "the installed code keeps an fp32 softmax and its 16-bit cast, in fp32 one copy; that stack kept more"
)
# Not stated there either: the tutorial prepares its 8-bit base for training, which leaves the rest in fp32.
EIGHT_BIT = (
    "targets and stack are not stated; adapters on all linear layers would raise ours by about a third"
)


@dataclass(frozen=True)
class Row:
    """One figure: what a book prints, what the plan says, and why they differ. `entry` is its id."""

    entry: str
    what: str
    book: float
    ours: float
    reason: str = ""
    unit: str = "GB"


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


def category(made: Plan, *names: str) -> float:
    """GB of what stays between steps."""
    return sum(item.bytes for item in made.static if item.category in names) / 1e9


def weights(config: dict[str, Any], dtype: str, quantization: str = "none", *changes: str) -> Plan:
    return planned(config, f"model.dtype={dtype}", f"model.quantization={quantization}", *changes)


def gradients(made: Plan) -> float:
    (found,) = (item.bytes for item in made.phases[4].figures if item.category == "gradients")
    return found / 1e9


def peak(made: Plan) -> float:
    return made.peak_allocated_bytes / 1e9


def rows_of(document: dict[str, Any]) -> Iterator[Row]:
    """Every figure of every entry that states bytes of weights, of training, or of a part of it."""
    found = {entry["id"]: entry["expected"] for entry in document["oracles"]}
    yield from _footprints(found)
    yield from _weights(found)
    yield from _training(found)
    yield from _parts(found)
    yield from _peaks(found)


def _footprints(found: dict[str, Any]) -> Iterator[Row]:
    for name, dtype, quantization in (
        ("fp32", "float32", "none"), ("fp16", "float16", "none"), ("int8_rest16", "float16", "int8"),
        ("int8_rest32", "float32", "int8"), ("nf4_rest32", "float32", "nf4"), ("nf4_rest16", "float16", "nf4"),
        ("nf4_after_kbit", "float32", "nf4"),
    ):  # fmt: skip
        entry = f"fp.opt350m.{name}"
        yield Row(entry, "", found[entry] / 1e9, category(weights(OPT_350M, dtype, quantization), "weights"))
    sixteen = category(weights(OPT_350M, "float16"), "weights")
    file = found["fp.opt350m.file"]
    yield Row("fp.opt350m.file", "tensors", file["tensor_bytes"] / 1e9, sixteen)
    yield Row("fp.opt350m.file", "file", file["file_bytes"] / 1e9, sixteen, "a pickle's own 0.1 MB")
    short = {**PHI_3, "num_hidden_layers": 2}
    phi = weights(PHI_3, "bfloat16", "nf4")
    for entry, book, made in (
        ("fp.phi3.nf4", found["fp.phi3.nf4"]["without_buffers"], phi),
        ("fp.phi3_2layer.nf4", found["fp.phi3_2layer.nf4"], weights(short, "bfloat16", "nf4")),
        ("fp.phi3_2layer.nf4_after_kbit", found["fp.phi3_2layer.nf4_after_kbit"], weights(short, "float32", "nf4")),
    ):  # fmt: skip
        yield Row(entry, "", book / 1e9, category(made, "weights"))
    plain = weights(PHI_3, "bfloat16", "nf4", "model.double_quantization=false")
    absmax, double = category(plain, "quantisation state"), category(phi, "quantisation state")
    state = found["fp.phi3.quant_state_hidden"]
    tables = "tables of 1 KB per tensor"
    yield Row("fp.phi3.quant_state_hidden", "scales in fp32", state["absmax_fp32"] / 1e9, absmax, tables)
    yield Row("fp.phi3.quant_state_hidden", "double quantised", state["double_quant"] / 1e9, double, tables)
    linears = 3_623_878_656
    saving = 8 * (absmax - double) * 1e9 / linears
    yield Row(
        "fp.double_quant_saving", "Phi-3", found["fp.double_quant_saving"]["saving"], saving, tables,
        "bits per parameter",
    )  # fmt: skip


def _weights(found: dict[str, Any]) -> Iterator[Row]:
    all_of = ("weights", "quantisation state")
    count = "the model has another number of parameters than its name says"
    rest = "embeddings, head and norms stay in 16 bit, scales come on top"
    yield Row(
        "fp.size_formula", "OPT-350m in 16 bit", found["fp.size_formula"]["MB"] / 1e3,
        category(weights(OPT_350M, "float16"), "weights"), "the model has 331 million parameters, not 360",
    )  # fmt: skip
    for name, dtype, quantization in (
        ("fp32", "float32", "none"), ("fp16", "float16", "none"), ("int8", "float16", "int8"), ("int4", "float16", "nf4"),
    ):  # fmt: skip
        made = weights(SIZES["7B"], dtype, quantization)
        yield Row(
            "fp.7b_weights", name, found["fp.7b_weights"][name], category(made, *all_of),
            count if quantization == "none" else rest,
        )  # fmt: skip
    cells = (
        ("13B", 4),
        ("13B", 2),
        ("70B", 2),
        ("10B", 4),
        ("10B", 2),
        ("7B", 2),
        ("13B", 0.5),
        ("70B", 0.5),
        ("65B", 0.5),
    )
    for (size, each), book in zip(cells, found["fp.weights_misc"], strict=True):
        made = weights(SIZES[size], "float32" if each == 4 else "bfloat16", "nf4" if each == 0.5 else "none")
        words = "the nearest known model has 10.7 billion" if size == "10B" else count
        yield Row(
            "fp.weights_misc",
            f"{size} x {each} B",
            book,
            category(made, *all_of),
            rest if each == 0.5 else words,
        )
    yield Row(
        "fp.a100_40_total", "the card", found["fp.a100_40_total"]["GiB"] * 2**30 / 1e9,
        card_named("A100 40GB").bytes / 1e9,
    )  # fmt: skip
    for config, elements in zip(
        (SIZES["7B"], {**SIZES["7B"], "vocab_size": 128256}), found["fp.embedding_matrix"], strict=True
    ):
        ours = read_architecture(config).parameters.embedding * 2 / 1e9
        yield Row("fp.embedding_matrix", f"{config['vocab_size']:,} rows in 16 bit", elements * 2 / 1e9, ours)
    for size, book in zip(("13B", "70B"), found["mem.inference_total"], strict=True):
        cache = kv_cache(read_architecture(SIZES[size]), 2048, element=2).bytes / 1e9
        ours = category(weights(SIZES[size], "bfloat16"), "weights") + cache
        yield Row(
            "mem.inference_total",
            size,
            book,
            ours,
            "ours is weights and the KV cache of 2,048 tokens; books add a fifth",
        )


def _training(found: dict[str, Any]) -> Iterator[Row]:
    peaks = {
        size: {method: peak(planned(SIZES[size], *changes)) for method, changes in METHODS.items()}
        for size in found["mem.book.sizes"]
    }
    for method in METHODS:
        entry = f"mem.book.7b_{method}"
        yield Row(entry, "", found[entry], peaks["7B"][method], REASONS[method])
    for size, cells in found["mem.book.sizes"].items():
        for method, book in zip(METHODS, cells["printed"], strict=True):
            yield Row("mem.book.sizes", f"{size} {method}", book, peaks[size][method], REASONS[method])
    for size, book in zip(("65B", "33B", "13B", "7B"), found["mem.qlora_sizes"]["printed_GB"], strict=True):
        ours = planned(SIZES[size], "model.quantization=nf4").static_bytes / 1e9
        yield Row(
            "mem.qlora_sizes", size, book, ours, "ours is what stays between steps; books add activations"
        )
    yield Row(
        "mem.qlora_65b_card", "one 48 GB card", 48, peak(planned(SIZES["65B"], *METHODS["qlora"])),
        "48 GB is the card it fits, not what it takes",
    )  # fmt: skip
    for batch, book in ((1, 2), (2, found["mem.batch_scaling"]["batch_2"][0])):
        made = planned(SIZES["7B"], f"training.micro_batch={batch}")
        ours = (made.peak_allocated_bytes - made.static_bytes) / 1e9
        yield Row(
            "mem.batch_scaling", f"batch {batch}, beyond what stays", book, ours,
            "linear in the batch, as the book says; its length and checkpointing are not stated",
        )  # fmt: skip


def _parts(found: dict[str, Any]) -> Iterator[Row]:
    count = "the model has another number of parameters than its name says"
    cells = (("13B", "adam"), ("1B", "adam"), ("13B", "sgd"), ("13B", "momentum"), ("7B", "adam"))
    for (size, kind), book in zip(cells, found["mem.grad_opt"], strict=True):
        optimizer = "adamw_torch_fused" if kind == "adam" else "sgd"
        made = planned(SIZES[size], "tuner.method=full", f"training.optimizer={optimizer}")
        reason = "the trainer's SGD keeps no momentum" if kind == "momentum" else count
        yield Row(
            "mem.grad_opt", f"{size} {kind}", book, gradients(made) + category(made, "optimizer"), reason
        )
    three = "three layers of 0.32 billion parameters train, not 1 billion"
    for (name, size, changes, reason), book in zip(
        (
            ("7B full", "7B", ["tuner.method=full"], count),
            ("13B full", "13B", ["tuner.method=full"], count),
            ("13B, 1B trained", "13B", ["tuner.method=freeze", "tuner.train_last_layers=3"], three),
        ),
        found["mem.sums"], strict=True,
    ):  # fmt: skip
        made = planned(SIZES[size], *changes)
        yield Row("mem.sums", name, book, made.static_bytes / 1e9 + gradients(made), reason)
    full, book = planned(SIZES["7B"], "tuner.method=full", "model.dtype=float32"), found["mem.7b_fp32_full"]
    yield Row("mem.7b_fp32_full", "weights", book["weights"], category(full, "weights"), count)
    stays = full.static_bytes / 1e9
    yield Row("mem.7b_fp32_full", "with Adam", book["adam_total_without_gradients"], stays, count)
    yield Row("mem.7b_fp32_full", "and gradients", book["with_gradients"], stays + gradients(full), count)
    four, sixteen = planned(SIZES["7B"], *METHODS["qlora"]), planned(SIZES["7B"])
    rest = "embeddings, head and norms stay in 16 bit, scales, the adapter's states and cuBLAS come on top"
    for book in found["mem.7b_4bit"]["total"]:
        yield Row("mem.7b_4bit", "total", book, four.static_bytes / 1e9, rest)
    saved = (sixteen.static_bytes - four.static_bytes) / 1e9
    yield Row("mem.7b_4bit", "saved against 16 bit", found["mem.7b_4bit"]["saving_vs_16bit"], saved, rest)
    for name, changes in (
        ("qlora_trl_bf16", METHODS["qlora"]),
        ("lora_on_16bit_base", METHODS["lora"]),
        ("full_ft_trl_default_fp32", ["tuner.method=full", "model.dtype=float32"]),
    ):
        made = planned(SIZES["7B"], *changes)
        each = (2, 4, 4)[("qlora_trl_bf16", "lora_on_16bit_base").index(name) if "lora" in name else 2]
        ours = each * (gradients(made) + category(made, "optimizer")) / gradients(made)
        yield Row(
            "mem.optimizer_bytes", name, found["mem.optimizer_bytes"][name], ours, "", "B per parameter"
        )
    eight = planned(SIZES["7B"], "tuner.method=full", "training.optimizer=adamw_bnb_8bit")
    ours = 2 * category(eight, "optimizer") / gradients(eight)
    yield Row(
        "mem.optimizer_bytes", "8bit_adam_states", found["mem.optimizer_bytes"]["8bit_adam_states"], ours,
        "scales per 256 values, and the embedding's states stay in 32 bit", "B per parameter",
    )  # fmt: skip
    for layer_length, column in ((256, 0), (1024, 1)):
        table = found["mem.attn_layer"]
        one = {**OPT_350M, "num_hidden_layers": 1}
        eager, sdpa = (
            peak(
                planned(
                    one,
                    *_small(False, kind),
                    "tuner.method=full",
                    "training.micro_batch=2",
                    length=layer_length,
                )
            )
            for kind in ("eager", "sdpa")
        )
        yield Row(
            "mem.attn_layer", f"eager over sdpa, {layer_length} tokens",
            (table["eager"][column] - table["sdpa"][column]) / 1e3, eager - sdpa,
            "the book runs one attention layer alone; ours is what eager adds to the peak of a training step",
        )  # fmt: skip


def _peaks(found: dict[str, Any]) -> Iterator[Row]:
    kinds = ("eager", "sdpa", "flash_attention_2")
    table = found["mem.peak.opt350m_16bit_s500"]["rows"]
    full, eight = "tuner.method=full", "training.optimizer=adamw_bnb_8bit"
    for name, checkpointing, changes in (
        ("1 no ckpt, no LoRA, Adam", False, [full]),
        ("2-4 no ckpt, no LoRA, 8-bit Adam or accumulation (untrusted)", False, [full, eight]),
        ("5-8 no ckpt, LoRA", False, []),
        ("9 ckpt, no LoRA, Adam", True, [full]),
        ("10-12 ckpt, no LoRA, other (untrusted)", True, [full, eight]),
        ("13-16 ckpt, LoRA", True, []),
    ):
        for kind, book in zip(kinds, table[name], strict=True):
            made = planned(OPT_350M, *_small(checkpointing, kind), *changes, length=500)
            reason = UNTRUSTED if "untrusted" in name else MEASURED
            what = f"{name.removesuffix(' (untrusted)')}, {kind}"
            yield Row("mem.peak.opt350m_16bit_s500", what, book / 1e3, peak(made), reason)
    ours: dict[tuple[bool, int, bool, str], float] = {}
    for checkpointing, length, mixed, *books in found["mem.peak.opt350m_8bit_lora"]:
        for kind, book in zip(kinds, books, strict=True):
            cell = (checkpointing, length, mixed, kind)
            kernel = (
                "eager" if kind == "eager" else "sdpa"
            )  # flash attention refuses fp32; sdpa runs the same kernel
            ours[cell] = peak(planned(OPT_350M, *_eight_bit(checkpointing, mixed, kernel), length=length))
            words = f"{'ckpt' if checkpointing else 'no ckpt'}, {length} tokens, {'mixed' if mixed else 'plain'}, {kind}"
            reason = MEASURED if checkpointing else EIGHT_BIT
            yield Row("mem.peak.opt350m_8bit_lora", words, book / 1e3, ours[cell], reason)
    slopes = found["mem.peak.slopes_8bit"]
    for name, checkpointing in (("no_ckpt_MB_per_token", False), ("ckpt_MB_per_token", True)):
        long, short = (ours[checkpointing, length, False, "sdpa"] for length in (2000, 500))
        yield Row(
            "mem.peak.slopes_8bit", name.removesuffix("_MB_per_token"), slopes[name], (long - short) / 1.5, MEASURED,
            "MB per token",
        )  # fmt: skip
    plain = [peak(planned(OPT_350M, *_small(False, kind), length=500)) for kind in ("eager", "sdpa")]
    differences = {
        "16-bit LoRA s500": (plain[0] - plain[1], 500),
        "8-bit LoRA s500": (ours[False, 500, False, "eager"] - ours[False, 500, False, "sdpa"], 500),
        "8-bit LoRA s2000": (ours[False, 2000, False, "eager"] - ours[False, 2000, False, "sdpa"], 2000),
    }
    for name, (difference, length) in differences.items():
        yield Row(
            "mem.peak.beta_eager", name, found["mem.peak.beta_eager"][name][0],
            difference * 1e9 / (24 * 16 * length**2), SCORES, "B per score",
        )  # fmt: skip


def _small(checkpointing: bool, kind: str) -> list[str]:
    """The tutorial's setting: logits built by the model, attention-only targets, foreach AdamW."""
    return [
        f"training.gradient_checkpointing={str(checkpointing).lower()}", "plan.loss=logits-14", "model.dtype=bfloat16",
        ADAPTER_TARGETS, "training.optimizer=adamw_torch", f"model.attention={kind}",
    ]  # fmt: skip


def _eight_bit(checkpointing: bool, mixed: bool, kind: str) -> list[str]:
    """As `_small`, on a base in 8 bit whose other parts and adapters are fp32."""
    return [
        *_small(checkpointing, kind), "model.quantization=int8", "model.dtype=float32", "tuner.adapter_dtype=float32",
        f"training.extra.bf16={str(mixed).lower()}",
    ]  # fmt: skip


def table(rows: list[Row]) -> str:
    lines = ["| entry | what | book | plan | unit | difference | why |", "|---|---|---:|---:|---|---:|---|"]
    for row in rows:
        difference = row.ours / row.book - 1
        why = "" if abs(difference) < 0.005 else row.reason
        lines.append(
            f"| {row.entry} | {row.what} | {_short(row.book)} | {_short(row.ours)} | {row.unit} | {difference:+.0%} | {why} |"
        )
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:.2f}" if value >= 1 else f"{value:.4f}"


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
