"""The formulas against the exact dry run, over model family x method x attention x checkpointing.

    python benchmarks/plan_vs_trace.py                                 sdpa with checkpointing: about two minutes
    python benchmarks/plan_vs_trace.py --full [--json FILE]            every cell: about fifteen minutes
    python benchmarks/plan_vs_trace.py --families llama,qwen3 --methods "dora,qlora nf4" --full

Both price the same recipe; the dry run counts the real model code over tensors without data. `peak` is the
error of the whole peak, `beyond` that of the part that is not weights, adapter or optimizer states. At the end: what one dry run of an 8B LoRA at 2,048 tokens costs in a
fresh process, and what one edit of a recipe costs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.errors import TunedeckError
from core.memory.plan import plan
from core.memory.setting import Lengths
from core.memory.verdict import Room
from core.models.architecture_of import read_architecture
from core.recipe import parse_recipe

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {
        "model_type": "llama", "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        "max_position_embeddings": 8192,
    },
    "qwen2": {
        "model_type": "qwen2", "vocab_size": 151936, "hidden_size": 896, "intermediate_size": 4864,
        "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
        "max_position_embeddings": 32768, "tie_word_embeddings": True,
    },
    "qwen3": {
        "model_type": "qwen3", "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 6144,
        "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
        "max_position_embeddings": 40960, "tie_word_embeddings": True,
    },
    "gemma3_text": {
        "model_type": "gemma3_text", "vocab_size": 262144, "hidden_size": 1152, "intermediate_size": 6912,
        "num_hidden_layers": 26, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256,
        "max_position_embeddings": 32768, "sliding_window": 512,
    },
    "phi3": {
        "model_type": "phi3", "vocab_size": 32064, "hidden_size": 3072, "intermediate_size": 8192,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
        "max_position_embeddings": 4096, "pad_token_id": 32000,
    },
    "opt": {
        "model_type": "opt", "vocab_size": 50272, "hidden_size": 1024, "word_embed_proj_dim": 1024,
        "ffn_dim": 4096, "num_hidden_layers": 24, "num_attention_heads": 16, "max_position_embeddings": 2048,
    },
    "gpt_neox": {
        "model_type": "gpt_neox", "vocab_size": 50304, "hidden_size": 2048, "intermediate_size": 8192,
        "num_hidden_layers": 16, "num_attention_heads": 8, "max_position_embeddings": 2048,
    },
}  # fmt: skip

METHODS: dict[str, list[str]] = {
    "full bf16": ["tuner.method=full"],
    "full fp32": ["tuner.method=full", "model.dtype=float32"],
    "full fp32+autocast": ["tuner.method=full", "model.dtype=float32", "training.extra.bf16=true"],
    "lora": [],
    "lora no dropout": ["tuner.dropout=0.0"],
    "lora bf16": ["tuner.adapter_dtype=bfloat16"],
    "lora fp32 base": ["model.dtype=float32"],
    "dora": ["tuner.method=dora", "tuner.dropout=0.0"],
    "qlora nf4": ['model.quantization="nf4"'],
    "ia3": ["tuner.method=ia3", 'tuner.targets=["k_proj", "v_proj", "down_proj"]'],
    "prompt": ["tuner.method=prompt"],
    "freeze": ["tuner.method=freeze", "tuner.train_last_layers=4"],
    "lora int8": ['model.quantization="int8"'],
    "lora + saved head": ['tuner.modules_to_save=["lm_head"]'],
}
ATTENTION = ("sdpa", "eager", "padded")  # padded: sdpa on rows of unequal length, so with a mask
CHECKPOINTING = (True, False)
LENGTH, MICRO_BATCH = 1024, 2
ATTENTION_ONLY = {
    "opt": ["q_proj", "k_proj", "v_proj", "out_proj"],
    "gpt_neox": ["query_key_value", "dense"],
    "phi3": ["qkv_proj", "o_proj"],
}


@dataclass(frozen=True)
class Row:
    """One recipe priced twice. Errors are shares of the dry run's figure."""

    family: str
    method: str
    attention: str
    checkpointing: bool
    traced_gib: float
    planned_gib: float
    traced_phase: str
    planned_phase: str
    peak_error: float
    beyond_error: float


def compare(folder: Path, family: str, method: str, attention: str, checkpointing: bool) -> Row:
    """Price one cell of the matrix both ways."""
    from core.train.dry_run import dry_run

    config = FAMILIES[family]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    changes = METHODS.get(method) or []
    if method == "lora attention only":
        targets = ATTENTION_ONLY.get(family, ["q_proj", "k_proj", "v_proj", "o_proj"])
        changes = [f"tuner.targets={json.dumps(targets)}"]
    recipe = parse_recipe(
        "",
        [
            f"data.max_length={LENGTH}", f"training.micro_batch={MICRO_BATCH}", "training.accumulation=1",
            f'model.attention="{"eager" if attention == "eager" else "sdpa"}"', f"training.gradient_checkpointing={str(checkpointing).lower()}",
            *changes,
        ],
    )  # fmt: skip
    lengths = Lengths(rows=1000, longest=LENGTH, mean=LENGTH / 3 if attention == "padded" else float(LENGTH))
    planned = plan(recipe, read_architecture(config), lengths, room=Room("cuda"))
    workspace = sum(item.bytes for item in planned.static if item.category == "cuBLAS workspace")
    traced = dry_run(recipe, folder, lengths)
    peak, static = traced["peak_allocated_bytes"], traced["static_bytes"]
    best = max((phase for phase in planned.phases if phase.name != "load"), key=lambda phase: phase.bytes)
    ours = best.bytes - workspace
    return Row(
        family, method, attention, checkpointing, peak / 2**30, ours / 2**30, traced["peak_phase"],
        best.name, ours / peak - 1, (ours - planned.static_bytes + workspace) / (peak - static) - 1,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--methods", default=",".join([*METHODS, "lora attention only"]))
    parser.add_argument(
        "--full", action="store_true", help="all kinds of attention, checkpointing on and off"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore")
    rows: list[Row] = []
    print("| family | method | attention | checkpoints | traced GiB | planned GiB | peak | beyond | phases |")
    print("|---|---|---|---|---:|---:|---:|---:|---|")
    attention = ATTENTION if options.full else ATTENTION[:1]
    checkpointing = CHECKPOINTING if options.full else CHECKPOINTING[:1]
    with tempfile.TemporaryDirectory() as folder:
        for cell in itertools.product(
            options.families.split(","), options.methods.split(","), attention, checkpointing
        ):
            try:
                row = compare(Path(folder), *cell)
            except TunedeckError as error:
                print(f"| {' | '.join(map(str, cell))} | not traced: {error.what} |")
                continue
            rows.append(row)
            print(
                f"| {row.family} | {row.method} | {row.attention} | {'on' if row.checkpointing else 'off'} "
                f"| {row.traced_gib:.3f} | {row.planned_gib:.3f} | {row.peak_error:+.1%} | {row.beyond_error:+.1%} "
                f"| {row.traced_phase} {row.planned_phase} |",
                flush=True,
            )
    errors = [abs(row.peak_error) for row in rows]
    within = sum(error <= 0.05 for error in errors)
    print(
        f"\n{len(rows)} cells: mean {statistics.mean(errors):.2%}, worst {max(errors):.2%}, within 5 %: {within}"
    )
    print("\n" + by_family(rows))
    cost = dry_run_cost()
    print(
        f"\none dry run of an 8B LoRA at 2,048 tokens, imports included: {cost['wall_seconds']:.1f} s "
        f"({cost['cpu_seconds']:.1f} s of processor time, {cost['trace_cpu_seconds']:.1f} s without the imports), "
        f"{cost['rss_bytes'] / 2**30:.2f} GiB of host memory; bars: 10 s, 3 GiB"
    )
    edit = edit_milliseconds()
    print(f"one plan after an edit: median {edit:.2f} ms; bar: 5 ms")
    if options.json:
        found = {"cells": [asdict(row) for row in rows], "dry_run": cost, "edit_milliseconds": edit}
        options.json.write_text(json.dumps(found, indent=2), encoding="utf-8")


def by_family(rows: list[Row]) -> str:
    """docs/memory.md's table."""
    lines = ["| family | cells | mean error | worst | where |", "|---|---:|---:|---:|---|"]
    for family in dict.fromkeys(row.family for row in rows):
        own = [row for row in rows if row.family == family]
        worst = max(own, key=lambda row: abs(row.peak_error))
        mean = statistics.mean(abs(row.peak_error) for row in own)
        where = f"{worst.method}, {worst.attention}, checkpoints {'on' if worst.checkpointing else 'off'}"
        lines.append(f"| {family} | {len(own)} | {mean:.1%} | {worst.peak_error:+.1%} | {where} |")
    return "\n".join(lines)


COST = """
import time; began = time.perf_counter()
import json, resource, sys
from pathlib import Path
from core.memory.setting import Lengths
from core.recipe import parse_recipe
from core.train.dry_run import dry_run
recipe = parse_recipe("", ["data.max_length=2048", "training.micro_batch=1"])
lengths = Lengths(10, 2048, 2048.0)
dry_run(recipe, Path(sys.argv[1]), lengths)
wall, cpu = time.perf_counter() - began, time.process_time()
dry_run(recipe, Path(sys.argv[1]), lengths)
rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"wall_seconds": wall, "cpu_seconds": cpu, "trace_cpu_seconds": time.process_time() - cpu, "rss_bytes": rss}))
"""


def dry_run_cost() -> dict[str, float]:
    """Seconds and resident bytes of a dry run in a process of its own; wall clock and processor time."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(FAMILIES["llama"]), encoding="utf-8")
        command = [sys.executable, "-c", COST, folder]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return found


def edit_milliseconds(edits: int = 200) -> float:
    """Median time to price a recipe again after one of its fields changed."""
    architecture, room = read_architecture(FAMILIES["llama"]), Room("cuda", "", 24 << 30, 24 << 30)
    took = []
    for number in range(edits):
        recipe = parse_recipe("", [f"tuner.rank={4 + number}", f"data.max_length={1024 + number}"])
        began = time.perf_counter()
        plan(recipe, architecture, room=room)
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


if __name__ == "__main__":
    main()
