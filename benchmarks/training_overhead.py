"""What a run costs in training speed: this trainer beside a plain TRL script with the same arguments.

    python benchmarks/training_overhead.py [--steps 60] [--rounds 3] [--json FILE]

Both train the demo model on the same prepared rows, in turns, each round in a fresh process. The time of
a step is taken between the ends of steps, without the probe, evaluation and checkpoints. On a machine with
other work the processor time says more than the clock; both are printed. Bar: >= 0.99 of the plain script.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BAR = 0.99


Times = dict[str, list[float]]


def timed(trainer: Any, skip: int) -> Times:
    """Train; seconds of every counted step, by the clock and of the processor."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.ends: list[tuple[float, float]] = []

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.ends.append((time.perf_counter(), time.process_time()))

    clock = Clock()
    trainer.add_callback(clock)
    trainer.train()
    counted = clock.ends[skip:]
    steps = [after[0] - before[0] for before, after in itertools.pairwise(counted)]
    work = [after[1] - before[1] for before, after in itertools.pairwise(counted)]
    return {"clock": steps, "processor": work}


def plain(run_folder: Path, skip: int) -> Times:
    """A script as people write it: SFTTrainer with SFTConfig, nothing else."""
    import datasets
    import torch
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from core.runs.folder import Run
    from core.train.arguments import sft_arguments

    run = Run(run_folder)
    recipe, identity = run.read_recipe(), run.read_json(run.identity)
    folder = identity["model"]["folder"]
    arguments = sft_arguments(
        recipe, run_folder / "plain", has_eval=False, on_cpu=not torch.cuda.is_available()
    )
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, recipe.model.dtype))
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**arguments | {"save_strategy": "no"}),
        train_dataset=datasets.load_from_disk(str(run_folder / identity["data"]["folder"])),
        processing_class=AutoTokenizer.from_pretrained(folder),
        peft_config=LoraConfig(
            task_type="CAUSAL_LM",
            r=recipe.tuner.rank,
            lora_alpha=recipe.alpha,
            lora_dropout=recipe.tuner.dropout,
            target_modules="all-linear",
        ),
    )
    return timed(trainer, skip)


def ours(run_folder: Path, skip: int) -> Times:
    """The trainer of a run with all it does beside training: events, watch rules, requests, heartbeat."""
    from core.runs.events import EventWriter
    from core.runs.folder import Run
    from core.train.building import build_trainer, open_session
    from core.train.controller import Controller, Heartbeat
    from core.train.reporter import Reporter
    from core.train.signals import StopSignals

    run = Run(run_folder)
    events, signals = EventWriter(run.folder), StopSignals(lambda name: None)
    trainer = build_trainer(open_session(run, events, signals, time.monotonic()))
    Heartbeat(run)
    trainer.add_callback(Reporter(events, trainer))
    trainer.add_callback(Controller(run, events, signals, first_rank=True))
    return timed(trainer, skip)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", choices=["plain", "ours"], help=argparse.SUPPRESS)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    skip = max(options.steps // 6, 2)
    if options.one:
        print(json.dumps((plain if options.one == "plain" else ours)(options.run, skip)))
        return
    with tempfile.TemporaryDirectory() as folder:
        run = prepared_run(Path(folder), options.steps)
        found: dict[str, list[Times]] = {"plain": [], "ours": []}
        for _ in range(options.rounds):
            for which in found:
                found[which].append(one(which, run, options.steps))
    report(found, options.json)


def prepared_run(folder: Path, steps: int) -> Path:
    from core.demo.paths import RECIPE
    from core.recipe import read_recipe
    from core.runs.start import create
    from core.workspace import Workspace

    changes = [f"training.max_steps={steps}", "training.logging_steps=1", 'data.eval_source=""']
    recipe = read_recipe(RECIPE, [*changes, "data.eval_fraction=0.0", f"training.save_steps={steps * 10}"])
    return create(Workspace(folder), recipe, name="overhead").folder


def one(which: str, run: Path, steps: int) -> Times:
    command = [sys.executable, __file__, "--one", which, "--run", str(run), "--steps", str(steps)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def report(found: dict[str, list[Times]], out: Path | None) -> None:
    """Both see the same batches in the same order, so each step's best round counts: other work only ever slows."""
    print(f"{'':12}{'plain TRL':>14}{'a run':>14}{'speed':>9}")
    result: dict[str, Any] = {"rounds": found, "bar": BAR}
    for kind in ("clock", "processor"):
        best = {}
        for which, rounds in found.items():
            steps = list(zip(*(entry[kind] for entry in rounds), strict=True))
            best[which] = sum(map(min, steps)) / len(steps)
        result[kind] = best["plain"] / best["ours"]
        print(f"{kind:12}{1000 * best['plain']:11.2f} ms{1000 * best['ours']:11.2f} ms{result[kind]:8.3f}x")
    print(f"bar: >= {BAR:.2f}x")
    if out:
        out.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
