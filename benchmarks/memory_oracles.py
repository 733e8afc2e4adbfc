"""Predicted against published memory of training runs, row by row.

    python benchmarks/memory_oracles.py [FILE]            a table
    python benchmarks/memory_oracles.py [FILE] --markdown docs/memory.md's table
    python benchmarks/memory_oracles.py [FILE] --json     the same as JSON

FILE (shared/facts/memory_oracles.json beside the project unless given) is a JSON document with `models` (dimensions by name) and `rows` (published measurements). Rows whose
inputs are incomplete are listed with the reason, never guessed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from core.memory.figure import GIB
from core.memory.plan import Plan, plan_of
from core.memory.setting import Lengths, Setting, resolve
from core.memory.stack import LossPath, Stack
from core.memory.verdict import Room
from core.models.architecture import Architecture
from core.models.architecture_of import read_architecture
from core.recipe import parse_recipe

DEFAULT_FILE = Path(__file__).resolve().parents[2] / "shared" / "facts" / "memory_oracles.json"
# transformers of each set of runs. Then the two reasons why a row is shown but not counted: the one case the formulas miss, and a kernel whose bytes per logit were
# found from these very runs.
TRANSFORMERS = {"fms-main": "4.48.1", "fms-liger": "4.45.2", "fms-granite": "4.45.2", "fms-orca": "4.44.2"}
UNMODELLED = "mixture of experts with an fp32 residual stream: the formula is known to be low here"
FITTED = "bytes per logit were fitted to these runs"


@dataclass(frozen=True)
class Row:
    """One published run, what the formulas say of it, and why it is not counted if it is not."""

    name: str
    measured_gib: float
    predicted_gib: float | None
    static_measured_gib: float | None = None
    static_gib: float | None = None
    book_gib: float | None = None
    phase: str = ""
    left_out: str = ""

    @property
    def error(self) -> float | None:
        return None if self.predicted_gib is None else self.predicted_gib / self.measured_gib - 1

    @property
    def static_error(self) -> float | None:
        if self.static_gib is None or self.static_measured_gib is None:
            return None
        return self.static_gib / self.static_measured_gib - 1


def rows_of(document: dict[str, Any]) -> list[Row]:
    """Every row that is a training run or a head alone on one of the modelled stacks."""
    models = document["models"]
    return [_row(item, models) for item in document["rows"]]


def bars(rows: list[Row]) -> dict[str, float]:
    """Mean and worst absolute error of the rows that count, and of their static part. Shares."""
    counted = [abs(row.error) for row in rows if row.error is not None and not row.left_out]
    static = [abs(row.static_error) for row in rows if row.static_error is not None]
    return {
        "rows": len(counted),
        "mean": statistics.mean(counted),
        "worst": max(counted),
        "static_rows": len(static),
        "static_worst": max(static),
    }


def _row(item: dict[str, Any], models: dict[str, Any]) -> Row:
    measured, name = item["measured_gib"], item["id"]
    if measured is None:
        return Row(name, 0.0, None, left_out="no measured value (out of memory)")
    if name.startswith("liger/"):
        return Row(name, measured, head_alone_gib(item), phase="loss")
    reason = _why_not(item)
    if reason:
        return Row(name, measured, None, left_out=reason)
    shape, setting = architecture_of(models[item["model"]]), setting_of(item, models)
    found = plan_of(setting, shape, Room())
    steady = (item.get("also_gib") or {}).get("A_steady")
    static = found.static_bytes + _kept_gradients(found, setting)
    left_out = FITTED if setting.loss.kind == "fused cross-entropy" and found.peak.name == "loss" else ""
    if shape.experts and setting.residual > setting.compute:
        left_out = UNMODELLED
    return Row(
        name, measured, found.peak_allocated_bytes / GIB, steady, static / GIB if steady else None,
        _book_gib(item, shape, setting), found.peak.name, left_out,
    )  # fmt: skip


def _why_not(item: dict[str, Any]) -> str:
    if not item["set"].startswith("fms-"):
        return {
            "thread": "a figure quoted in a thread: inputs incomplete",
            "qwen-readme": "unit and meter not stated, model code of 2023",
            "litgpt-2023-10": "another library (litgpt): its attention, loss and LoRA are not modelled",
            "torchtune-readme": "another library (torchtune)",
            "torchtitan-2024-12": "another library (torchtitan), reserved memory",
            "peft-metamath": "reserved memory, row lengths not published",
            "fsdp-qlora-2024-03": "reserved memory, another training loop",
            "trl-notebook": "reserved memory, row lengths not published",
        }[item["set"]]
    if item["seq"] is None:
        return "row lengths not published"
    return ""


def _kept_gradients(found: Plan, setting: Setting) -> int:
    """FSDP drops its sharded gradients at the next forward only, so the reading after the loop holds them."""
    if setting.strategy != "fsdp":
        return 0
    step = next(phase for phase in found.phases if phase.name == "step")
    return sum(one.bytes for one in step.figures if one.category == "gradients")


def _book_gib(item: dict[str, Any], shape: Architecture, setting: Setting) -> float:
    """Textbook rule of thumb in GB (1e9): 12 B per parameter trained, 2 or 0.5 per frozen one, 2 GB activations."""
    total = shape.parameters.total
    base = {"full": 0.0, "lora": 2.0, "qlora": 0.5}[item["method"]] * total
    trained = total if item["method"] == "full" else setting.adapted.adapter_trainable
    return (base + 12 * trained + 2e9) / item["gpus"] / GIB


def setting_of(item: dict[str, Any], models: dict[str, Any]) -> Setting:
    """The setting of one published run, with the loss path of its own versions."""
    shape = architecture_of(models[item["model"]])
    adapter = item["adapter"] or {}
    changes = [
        f'model.dtype="{item["weights_dtype"]}"',
        'model.attention="flash_attention_2"',
        f"data.max_length={item['seq']}",
        f"training.micro_batch={item['batch_per_gpu']}",
        f"training.accumulation={item['grad_accum']}",
        'training.optimizer="adamw_torch"',
        f"training.gradient_checkpointing={str(item['gradient_checkpointing']).lower()}",
        "data.eval_fraction=0",
    ]
    if item["method"] == "full":
        changes.append('tuner.method="full"')
    else:
        changes += [
            f"tuner.rank={adapter['r']}",
            f"tuner.dropout={adapter['dropout']}",
            f"tuner.targets={json.dumps(adapter['targets'])}",
            f'tuner.adapter_dtype="{adapter["adapter_dtype"]}"',
        ]
    if item["method"] == "qlora":
        changes.append('model.quantization="nf4"')
    if item["gpus"] > 1:
        changes += ['launch.strategy="fsdp"', f"launch.processes={item['gpus']}"]
    recipe = parse_recipe("", changes)
    equal = Lengths(rows=1000, longest=item["seq"], mean=float(item["seq"]))
    stack = Stack(transformers=TRANSFORMERS[item["set"]], trl="0.13.0", flash_attention=True)
    setting = resolve(recipe, shape, lengths=equal, stack=stack, device="cuda")
    residual = 4 if item["residual_dtype"].startswith("float32") else 2
    autocast = 2 if item["amp"] else 0
    return dataclasses.replace(
        setting, loss=_loss(item) or setting.loss, residual=residual, autocast=autocast
    )


def _loss(item: dict[str, Any]) -> LossPath | None:
    """A kernel that took the place of the loss; None where transformers' own loss of that version ran."""
    if item["loss"].startswith("Liger"):
        return LossPath("liger", why=item["loss"])
    if "fused cross-entropy" in item["loss"]:
        return LossPath("fused cross-entropy", 8 if item["set"] == "fms-liger" else 10, item["loss"])
    return None


def head_alone_gib(item: dict[str, Any]) -> float | None:
    """A benchmark of the head or the loss alone: weight, its gradient and a copy of it, hidden states, logits."""
    tokens = item["seq"] * item["batch_per_gpu"]
    if "/ce/" in item["id"]:
        each = 4 if item["id"].endswith("liger") else 20
        return tokens * 131_072 * each / GIB
    vocabulary, h = 128_256, 4096
    if item["id"].endswith("full-logits"):
        return (6 * vocabulary * h + tokens * (6 * vocabulary + 4 * h)) / GIB
    chunk = max(tokens // 32, 1)
    return (8 * vocabulary * h + 10 * chunk * vocabulary + 4 * tokens * h) / GIB


def architecture_of(model: dict[str, Any]) -> Architecture:
    return _architecture(json.dumps(model, sort_keys=True))


@cache
def _architecture(text: str) -> Architecture:
    """The Architecture of a model given by its dimensions; experts as separate linears, as these runs had."""
    model = json.loads(text)
    config = {
        "model_type": "llama", "vocab_size": model["V"], "hidden_size": model["h"],
        "intermediate_size": model["f"], "num_hidden_layers": model["L"],
        "num_attention_heads": model["n_q"], "num_key_value_heads": model["n_kv"], "head_dim": model["d"],
        "tie_word_embeddings": model["tied_embeddings"], "max_position_embeddings": 1 << 20,
    }  # fmt: skip
    if model.get("experts"):
        config |= {
            "model_type": "mixtral", "num_local_experts": model["experts"],
            "num_experts_per_tok": model["experts_per_token"],
        }  # fmt: skip
    return read_architecture(config)


def _markdown(rows: list[Row]) -> str:
    lines = [
        "| run | measured GiB | predicted GiB | error | phase | static error | rule of thumb GiB | counted |",
        "|---|---:|---:|---:|---|---:|---:|---|",
    ]
    for row in sorted((row for row in rows if row.error is not None), key=lambda row: row.name):
        assert row.error is not None
        static = "" if row.static_error is None else f"{row.static_error:+.2%}"
        book = "" if row.book_gib is None else f"{row.book_gib:.1f}"
        lines.append(
            f"| {row.name} | {row.measured_gib:.2f} | {row.predicted_gib:.2f} | {row.error:+.1%} | {row.phase} "
            f"| {static} | {book} | {row.left_out or 'yes'} |"
        )
    missing: dict[str, int] = {}
    for row in rows:
        if row.error is None:
            missing[row.left_out] = missing.get(row.left_out, 0) + 1
    lines += ["", "Not modelled:", ""]
    lines += [
        f"- {count} rows: {reason}" for reason, count in sorted(missing.items(), key=lambda one: -one[1])
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, nargs="?", default=DEFAULT_FILE)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if not options.file.is_file():
        print(f"not run: the published measurements are not at {options.file}")
        return
    rows = rows_of(json.loads(options.file.read_text(encoding="utf-8")))
    if options.json:
        print(json.dumps({"bars": bars(rows), "rows": [dataclasses.asdict(row) for row in rows]}, indent=2))
        return
    print(_markdown(rows))
    if not options.markdown:
        print()
        print({key: round(value, 4) for key, value in bars(rows).items()})


if __name__ == "__main__":
    main()
