"""The demo's figures: how often base and tuned say held-out sentences right, over several seeds, and how long it takes.

python benchmarks/demo.py                 a table, three seeds
python benchmarks/demo.py --seeds 42      one seed: what `tunedeck demo --headless` does
python benchmarks/demo.py --json          the same as JSON
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from core.demo.headless import Finished, TrainerEvent, run_demo
from core.workspace import Workspace

COLUMNS = ("base_repeats", "base_yoda", "tuned_yoda", "adapter_off_repeats")
BARS = {"base_repeats": 0.95, "tuned_yoda": 0.90, "adapter_off_repeats": 0.95}
TRAIN_SECONDS = 90.0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44], metavar="N")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = {seed: measured(Workspace(Path(folder)), seed) for seed in options.seeds}
    if options.json:
        print(json.dumps({str(seed): result for seed, result in results.items()}, indent=2))
    else:
        print("\n".join(table(results)))
    return 0 if all(holds(result) for result in results.values()) else 1


def measured(workspace: Workspace, seed: int) -> dict[str, float]:
    """One whole demo with this seed: scores, and seconds of the trainer with and without its start."""
    begun = ended = 0.0
    outcome = None
    for happening in run_demo(workspace, [f"training.seed={seed}"]):
        if isinstance(happening, TrainerEvent):
            if happening.event["kind"] == "environment":
                begun = happening.event["time"]
            ended = happening.event["time"]
        elif isinstance(happening, Finished):
            outcome = happening
    assert outcome is not None
    scores = {name: float(value or 0.0) for name, value in outcome.scores.to_json().items()}
    print(f"seed {seed}: {scores}", file=sys.stderr)
    return {**scores, "training_seconds": ended - begun, "trainer_seconds": outcome.train_seconds}


def holds(result: dict[str, float]) -> bool:
    """Whether the figures are as good as docs/demo.md promises."""
    good = all(result[name] >= bar for name, bar in BARS.items())
    return good and result["base_yoda"] == 0.0 and result["training_seconds"] <= TRAIN_SECONDS


def table(results: dict[int, dict[str, float]]) -> list[str]:
    """Markdown: one line per seed."""
    lines = [
        "| seed | base repeats | base Yoda | tuned Yoda | adapter off repeats | training | trainer in all |",
        "|---|---|---|---|---|---|---|",
    ]
    for seed, result in results.items():
        shares = " | ".join(f"{result[name]:.0%}" for name in COLUMNS)
        lines.append(
            f"| {seed} | {shares} | {result['training_seconds']:.0f} s | {result['trainer_seconds']:.0f} s |"
        )
    return lines


if __name__ == "__main__":
    sys.exit(main())
