"""How long until the first labelled row is on the screen, after model and data are chosen.

    python benchmarks/first_row.py [--rounds 3] [--json FILE]

Every time is from a cold start: the process that prepares rows is not there yet. "new" is the first time
this machine meets the model (an empty cache), "known" every later time. "process" is from asking a fresh
workshop for row 0 to having it; "screen" is the real app in a real pty of 120x40, from pressing 2 (the Data
panel) to the row's tokens on the screen. Real tokenizers of ../shared/data are taken where they are, the
embedded model always. Bar: 2 s.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import pexpect

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data" / "tokenizers"
BAR_SECONDS = 2.0
SHOWN = "token 0 of|token [0-9,]+ of"  # what the panel says under the tokens


@dataclass(frozen=True)
class Measured:
    model: str
    process_new_seconds: float
    process_known_seconds: float
    screen_new_seconds: float
    screen_known_seconds: float

    @property
    def worst(self) -> float:
        return max(value for name, value in asdict(self).items() if name != "model")


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--models", help="names of folders in ../shared/data/tokenizers, by commas")
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    models = {"demo": "demo"}
    names = chosen.models.split(",") if chosen.models else [path.name for path in sorted(SHARED.glob("*/"))]
    models |= {name: str(SHARED / name) for name in names if (SHARED / name).is_dir()}
    results = []
    print(f"{'model':<12}{'process new':>13}{'known':>8}{'screen new':>13}{'known':>8}   seconds")
    for name, source in models.items():
        results.append(measure(name, source, chosen.rounds))
        one = results[-1]
        print(
            f"{name:<12}{one.process_new_seconds:>13.2f}{one.process_known_seconds:>8.2f}"
            f"{one.screen_new_seconds:>13.2f}{one.screen_known_seconds:>8.2f}"
        )
    worst = max(one.worst for one in results)
    print(f"worst {worst:.2f} s (bar {BAR_SECONDS:.0f} s): {'holds' if worst <= BAR_SECONDS else 'FAILS'}")
    if chosen.json:
        chosen.json.write_text(json.dumps([asdict(one) for one in results], indent=2))


def measure(name: str, source: str, rounds: int) -> Measured:
    """Medians over the rounds; each round begins with an empty cache."""
    seconds: list[tuple[float, float, float, float]] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
            seconds.append(
                (
                    *(in_process(source, first) for _ in range(2)),
                    *(on_screen(source, second) for _ in range(2)),
                )
            )
    return Measured(name, *(statistics.median(times) for times in zip(*seconds, strict=True)))


def in_process(source: str, folder: str) -> float:
    """From the first request to a fresh workshop to its answer."""
    from core.recipe import parse_recipe
    from core.workshop import Workshop

    os.environ["XDG_CACHE_HOME"] = folder
    recipe = parse_recipe(recipe_text(source))
    workshop = Workshop()
    started = time.perf_counter()
    row = workshop.wait(
        workshop.submit("core.data.glance:row", recipe=recipe, number=0, workspace=Path(folder))
    )
    seconds = time.perf_counter() - started
    assert row.trained > 0
    workshop.close()
    return seconds


def on_screen(source: str, folder: str) -> float:
    """From pressing 2 in the real app to the tokens of the first row."""
    (Path(folder) / "recipe.toml").write_text(recipe_text(source))
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "XDG_CACHE_HOME": folder, "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    process = pexpect.spawn(
        sys.executable, ["-P", "-m", "tui.cli"], dimensions=(40, 120), cwd=folder, env=environment, timeout=60,  # type: ignore[arg-type]
    )  # fmt: skip
    process.expect_exact("tunedeck")
    settle(process)
    started = time.perf_counter()
    process.send("2")
    process.expect(SHOWN)
    seconds = time.perf_counter() - started
    process.close(force=True)
    return seconds


def settle(process: pexpect.spawn) -> None:
    """Wait until the app has drawn what it draws by itself."""
    while True:
        try:
            process.read_nonblocking(1 << 16, timeout=0.5)
        except pexpect.TIMEOUT:
            return


def recipe_text(source: str) -> str:
    return f'[model]\nsource = "{source}"\n\n[data]\nsource = "demo/yoda.jsonl"\n'


if __name__ == "__main__":
    main()
