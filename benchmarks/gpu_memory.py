"""Predicted against measured memory on this machine's GPU, through the real trainer.

    python benchmarks/gpu_memory.py --minutes 25 --out gpu_memory.json
    python benchmarks/gpu_memory.py --out gpu_memory.json            again: goes on where it stopped
    python benchmarks/gpu_memory.py --out gpu_memory.json --markdown the table only

For a matrix of real architectures x method x quantisation x length x attention: random weights are made in
place (nothing is downloaded), rows of equal length are prepared, a run of three optimizer steps is started as
`tunedeck train` starts it, and torch's peak is set beside the plan that was written before. What the plan says
does not fit is skipped. Without a GPU it says so and ends; `--device cpu` runs the tiny architecture on the
host, where the resident peak of the process is compared, to try the path.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from core.demo.paths import MODEL
from core.errors import TunedeckError
from core.memory.devices import read_devices, room_for
from core.memory.plan import plan
from core.memory.setting import Lengths
from core.models.architecture_of import read_model
from core.recipe import Recipe, parse_recipe
from core.runs.control import request
from core.runs.evidence import history
from core.runs.launch import launch
from core.runs.start import create
from core.runs.state import read_state
from core.workspace import Workspace, write_json_atomically

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama-3.2-1b": {
        "model_type": "llama", "vocab_size": 128256, "hidden_size": 2048, "intermediate_size": 8192,
        "num_hidden_layers": 16, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64,
        "max_position_embeddings": 131072, "tie_word_embeddings": True,
    },
    "qwen3-1.7b": {
        "model_type": "qwen3", "vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 6144,
        "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
        "max_position_embeddings": 40960, "tie_word_embeddings": True,
    },
    "gemma-3-1b": {
        "model_type": "gemma3_text", "vocab_size": 262144, "hidden_size": 1152, "intermediate_size": 6912,
        "num_hidden_layers": 26, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256,
        "max_position_embeddings": 32768, "sliding_window": 512, "tie_word_embeddings": True,
    },
    "llama-3-8b": {
        "model_type": "llama", "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        "max_position_embeddings": 8192,
    },
}  # fmt: skip
TINY = {
    "tiny": {
        "model_type": "llama", "vocab_size": 32768, "hidden_size": 256, "intermediate_size": 704,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 4096, "tie_word_embeddings": True,
    }
}  # fmt: skip
METHODS: dict[str, list[str]] = {
    "lora": [],
    "lora no checkpoints": ["training.gradient_checkpointing=false", "training.micro_batch=1"],
    "qlora nf4": ['model.quantization="nf4"'],
    "lora int8": ['model.quantization="int8"'],
    "full bf16": ["tuner.method=full"],
    "full fp32": ["tuner.method=full", "model.dtype=float32"],
    "lora fp32 base": ["model.dtype=float32"],
    "dora": ["tuner.method=dora"],
}
ORDER = ((2048, "sdpa"), (512, "sdpa"), (8192, "sdpa"), (2048, "eager"), (512, "eager"))
STEPS, MICRO_BATCH = 3, 2
POLL_SECONDS, CELL_SECONDS = 0.5, 400


def make_model(folder: Path, config: dict[str, Any], device: str) -> None:
    """A model folder with random weights, and the demo's tokenizer, whose ids any vocabulary holds."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device(device):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config), dtype=torch.bfloat16)
    model.save_pretrained(folder)
    del model
    if device == "cuda":
        torch.cuda.empty_cache()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copyfile(MODEL / name, folder / name)


def make_rows(folder: Path, length: int, count: int) -> None:
    """Prepared rows of equal length, all of it trained, as a preparation would have left them."""
    from datasets import Dataset

    ids = [[4 + (row + place) % 900 for place in range(length)] for row in range(count)]
    rows = Dataset.from_dict({"input_ids": ids, "labels": ids, "row": list(range(count))})
    rows.save_to_disk(str(folder / "train"))
    report = {
        "folder": "train", "eval_folder": None, "rows": count, "examples": count, "eval_examples": 0,
        "tokens": count * length, "trained_tokens": count * length, "longest": length,
        "lengths": {"min": length, "max": length, "mean": length}, "findings": [], "engine": "none",
        "seconds": {"total": 0.0}, "cached": False, "digest": f"equal-{length}-{count}",
    }  # fmt: skip
    write_json_atomically(folder / "report.json", report)


def recipe_of(model: Path, method: str, length: int, attention: str, device: str) -> Recipe:
    """The recipe of one cell. Nothing is evaluated or kept, so that the step alone is measured."""
    changes = [
        f'model.source="{model}"', f'model.attention="{attention}"', f"data.max_length={length}",
        'data.source="rows"', "data.eval_fraction=0", f"training.max_steps={STEPS}",
        f"training.micro_batch={MICRO_BATCH}", "training.accumulation=1", "training.save_steps=1000000",
        *(['launch.devices="cpu"', 'model.dtype="float32"'] if device == "cpu" else []),
    ]  # fmt: skip
    return parse_recipe("", [*changes, *METHODS[method]])


def measure(workspace: Workspace, recipe: Recipe, rows: Path) -> dict[str, Any]:
    """Run one cell to its end and read plan and measurement from its folder."""
    run = create(workspace, recipe, prepared=rows)
    launch(run)
    started = time.monotonic()
    state = read_state(run.folder)
    while not state.ended:
        if time.monotonic() - started > CELL_SECONDS:
            request(run, "stop")
            time.sleep(10)
            return {"outcome": "took too long"}
        time.sleep(POLL_SECONDS)
        state = read_state(run.folder)
    found = [one for one in history(workspace) if one.run == run.id]
    if state.state != "done" or not found:
        return {"outcome": state.state, "what": state.what or state.note}
    return {"outcome": "done", **found[0].to_json(), "seconds": round(time.monotonic() - started, 1)}


def why_skipped(recipe: Recipe, model: Path, length: int) -> str:
    """Why a cell is not run; empty if it is: what the plan says does not fit is left out."""
    room = room_for(recipe, read_devices(processes=False))
    try:
        made = plan(recipe, read_model(model), Lengths(100, length, float(length)), room=room)
    except TunedeckError as error:
        return error.what
    return (
        ""
        if made.verdict == "fits"
        else f"{made.verdict}: planned {made.peak_allocated_bytes / 2**30:.1f} GiB"
    )


def run_matrix(
    results: dict[str, Any], out: Path, architectures: dict[str, Any], device: str, minutes: float
) -> None:
    """Every cell that has no result yet, until the time is up. Results are written after each.

    One length and kind of attention goes through all architectures and methods before the next begins, so that
    a short session sees every model. Models are made when first needed and kept until the end.
    """
    deadline = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for (length, attention), name, method in itertools.product(ORDER, architectures, METHODS):
            key = f"{name}/{method}/{length}/{attention}"
            if key in results["cells"]:
                continue
            if time.monotonic() > deadline:
                print("the time is up; the same command goes on from here", file=sys.stderr)
                break
            model, rows = root / name, root / f"rows-{length}"
            if not model.exists():
                print(f"making {name} with random weights", file=sys.stderr)
                make_model(model, architectures[name], device)
            recipe = recipe_of(model, method, length, attention, device)
            reason = why_skipped(recipe, model, length)
            if not reason and not rows.exists():
                make_rows(rows, length, STEPS * MICRO_BATCH * 2)
            try:
                found = (
                    {"outcome": "skipped", "what": reason}
                    if reason
                    else measure(Workspace(root), recipe, rows)
                )
            except TunedeckError as error:
                found = {"outcome": "not started", "what": str(error)}
            results["cells"][key] = found
            write_json_atomically(out, results)
            print(f"{key}: {found['outcome']} {found.get('what', '')}{_error(found)}", file=sys.stderr)
            shutil.rmtree(root / "runs", ignore_errors=True)


def _error(found: dict[str, Any]) -> str:
    return f"{found['error']:+.1%}" if found["outcome"] == "done" else ""


def table(results: dict[str, Any]) -> str:
    """The results as Markdown, with mean and worst error of the cells that ran."""
    lines = [
        f"Device: {results['device']}",
        "",
        "| cell | planned GiB | measured GiB | error | phase |",
        "|---|---:|---:|---:|---|",
    ]
    errors = []
    for key, found in results["cells"].items():
        if found["outcome"] != "done":
            lines.append(f"| {key} | | | | {found['outcome']}: {found.get('what', '')} |")
            continue
        errors.append(abs(found["error"]))
        planned, measured = found["planned_bytes"] / 2**30, found["measured_bytes"] / 2**30
        lines.append(f"| {key} | {planned:.2f} | {measured:.2f} | {found['error']:+.1%} | {found['phase']} |")
    if errors:
        lines += [
            "",
            f"{len(errors)} cells: mean error {sum(errors) / len(errors):.2%}, worst {max(errors):.2%}",
        ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("gpu_memory.json"))
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--architectures", default="", help="names, comma-separated; all unless given")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    devices = read_devices(processes=False)
    cards = [device for device in devices if device.kind == "cuda" and device.visible]
    if options.device == "cuda" and not cards and not options.markdown:
        print(
            f"not run: {devices[-1].notes[0] if devices[-1].notes else 'no GPU is visible here'}",
            file=sys.stderr,
        )
        return
    known = TINY if options.device == "cpu" else ARCHITECTURES
    chosen = options.architectures.split(",") if options.architectures else list(known)
    results = {"device": cards[0].name if cards else devices[-1].name, "cells": {}}
    if options.out.exists():
        results = json.loads(options.out.read_text(encoding="utf-8"))
    if not options.markdown:
        run_matrix(
            results, options.out, {name: known[name] for name in chosen}, options.device, options.minutes
        )
    print(table(results))


if __name__ == "__main__":
    main()
