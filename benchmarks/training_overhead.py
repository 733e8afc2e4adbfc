"""What a run costs in training speed: this trainer beside a plain TRL script with the same arguments.

    python benchmarks/training_overhead.py [--blocks 24] [--block 4] [--accumulation 8] [--json FILE]

Both trainers live in one process and take turns: a block of steps of one, then the same steps of the other, in
the order A B B A, so that other work on the machine and a drifting clock meet both alike. Each pair of blocks
has the same batches and gives one ratio. Printed are the median ratio and its 95 % interval (bootstrap over the
pairs), by the clock and by processor time; on a busy machine the second says more. The time of a step is taken
between the ends of steps, without the probe, evaluation and checkpoints. Bar: >= 0.99 of the plain script.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BAR = 0.99
WARM_UP = 2  # pairs that are not counted: caches fill, buffers grow
KINDS = ("clock", "processor")


@dataclass
class Turns:
    """Who may train now: 0 is the plain script, 1 the run. `seconds[who]` has one (clock, processor) per block."""

    blocks: int
    size: int  # steps of a block
    seconds: tuple[list[tuple[float, float]], list[tuple[float, float]]] = field(
        default_factory=lambda: ([], [])
    )
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _played: int = 0

    @property
    def steps(self) -> int:
        return self.blocks * self.size + 1  # the first step builds the optimizer's state and is not timed

    @property
    def now(self) -> int:
        """A B B A A B B A: the second of a pair is the first of the next."""
        return (self._played + 1) // 2 % 2

    def wait(self, who: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self.now == who or self._played >= 2 * self.blocks)

    def done(self, who: int, seconds: tuple[float, float]) -> None:
        with self._changed:
            self.seconds[who].append(seconds)
            self._played += 1
            self._changed.notify_all()


def take_turns(trainer: Any, turns: Turns, who: int, ready: threading.Barrier) -> None:
    """Train block by block, each when it is this trainer's turn."""
    from transformers import TrainerCallback

    class Player(TrainerCallback):
        def __init__(self) -> None:
            self.steps = 0
            self.started = (0.0, 0.0)

        def on_step_end(self, *_: Any, **__: Any) -> None:
            if self.steps == 0:
                ready.wait()
            elif self.steps % turns.size == 0:
                now = time.perf_counter(), time.process_time()
                turns.done(who, (now[0] - self.started[0], now[1] - self.started[1]))
            if self.steps % turns.size == 0:
                turns.wait(who)
                self.started = time.perf_counter(), time.process_time()
            self.steps += 1

    trainer.add_callback(Player())
    trainer.train()


def plain(run_folder: Path) -> Any:
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
    return SFTTrainer(
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


def ours(run_folder: Path) -> Any:
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
    trainer.add_callback(Controller(run, events, signals, first_rank=True, resumed=False))
    return trainer


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blocks", type=int, default=24, help="pairs of blocks")
    parser.add_argument("--block", type=int, default=4, help="steps of a block")
    parser.add_argument(
        "--accumulation", type=int, default=8, help="micro-batches of a step: makes steps longer"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    turns, ready = Turns(options.blocks, options.block), threading.Barrier(2)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        run = prepared_run(Path(folder), turns.steps, options.accumulation)
        players = [
            threading.Thread(target=take_turns, args=(make(run), turns, who, ready), daemon=True)
            for who, make in enumerate((plain, ours))
        ]
        with contextlib.redirect_stdout(None):
            for player in players:
                player.start()
            for player in players:
                player.join()
    report(turns, options)


def prepared_run(folder: Path, steps: int, accumulation: int) -> Path:
    from core.demo.paths import RECIPE
    from core.recipe import read_recipe
    from core.runs.start import create
    from core.workspace import Workspace

    changes = [f"training.max_steps={steps}", "training.logging_steps=1", 'data.eval_source=""']
    changes += [f"training.accumulation={accumulation}", f"training.save_steps={steps * 10}"]
    recipe = read_recipe(RECIPE, [*changes, "data.eval_fraction=0.0"])
    return create(Workspace(folder), recipe, name="overhead").folder


def interval(ratios: list[float], draws: int = 2000) -> tuple[float, float]:
    """The 95 % bootstrap interval of the median; the same for the same ratios."""
    chance = random.Random(0)
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(draws))
    return medians[int(0.025 * draws)], medians[int(0.975 * draws)]


def report(turns: Turns, options: argparse.Namespace) -> None:
    """One line per clock; the pairs and everything derived from them go into the JSON file."""
    theirs, own = (blocks[WARM_UP:] for blocks in turns.seconds)
    result: dict[str, Any] = {"bar": BAR, "steps_of_a_block": turns.size, "pairs": len(own)}
    print(f"{len(own)} pairs of {turns.size} steps")
    print(f"{'':12}{'plain TRL':>14}{'a run':>14}{'speed':>9}{'95 % interval':>18}")
    for index, kind in enumerate(KINDS):
        ratios = [one[index] / other[index] for one, other in zip(theirs, own, strict=True)]
        low, high = interval(ratios)
        per_step = [
            1000 * statistics.median(b[index] for b in blocks) / turns.size for blocks in (theirs, own)
        ]
        result[kind] = {"ratio": statistics.median(ratios), "interval": [low, high], "ratios": ratios}
        print(
            f"{kind:12}{per_step[0]:11.1f} ms{per_step[1]:11.1f} ms"
            f"{result[kind]['ratio']:8.3f}x{low:10.3f} - {high:.3f}"
        )
    print(f"bar: >= {BAR:.2f}x")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
