"""How long from a key to the painted screen: in a set of a million rows, and in a row of 100,000 tokens.

    python benchmarks/key_to_paint.py [--rows 1000000] [--tokens 100000] [--keys 60] [--json FILE]

The app is the real one in a real pty of 120x40, on a set made in a temporary folder. Every key is sent once
the screen has come to rest; its time ends with the last byte of the first burst of output that follows.
Memory is the app's resident set when the rows are first shown, and at the end. Also measured: how long the
row in view takes to be labelled anew when the loss is put on other turns. Bars: p95 of 50 ms, memory flat
(5 % and 8 MiB), labelled anew within 100 ms of the key.
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
import psutil

ROOT = Path(__file__).resolve().parents[1]
BAR_SECONDS = 0.050
RELABEL_BAR_SECONDS = 0.100
BURST_SECONDS = 0.004  # a longer silence ends a burst of output
REST_SECONDS = 0.25
FLAT_BYTES = 8 * 2**20
ROW_KEYS = ("j", "j", "j", "k", "\x1b[6~", "\x1b[6~", "\x1b[5~", "G", "k", "g", "j", "\x1b[6~")
REASONS = ("completion: from the first", "everything is trained")  # of the token in view, as m goes on
TOKEN_KEYS = ("l", "l", "h", "j", "j", "k", "\x1b[6~", "\x1b[6~", "\x1b[5~", "t", "G", "k", "g", "l")


@dataclass(frozen=True)
class Moves:
    what: str
    keys: int
    p50_seconds: float
    p95_seconds: float
    worst_key: str
    worst_seconds: float
    first_bytes: int  # resident set of the app
    last_bytes: int

    @property
    def holds(self) -> bool:
        flat = self.last_bytes - self.first_bytes <= max(FLAT_BYTES, 0.05 * self.first_bytes)
        return self.p95_seconds <= BAR_SECONDS and flat


class App:
    """The app on a pty of 120x40, in a workspace with a recipe for these rows."""

    def __init__(self, workspace: Path, source: Path, max_length: int) -> None:
        (workspace / "recipe.toml").write_text(
            f'[model]\nsource = "demo"\n\n[data]\nsource = "{source}"\nmax_length = {max_length}\nloss_on = "last"\n'
        )
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLORTERM": "truecolor",
            "XDG_CACHE_HOME": str(workspace / "cache"), "HF_HUB_OFFLINE": "1",
        }  # fmt: skip
        self.process = pexpect.spawn(
            sys.executable, ["-P", "-m", "tui.cli"], dimensions=(40, 120), cwd=str(workspace),
            env=environment, timeout=120,  # type: ignore[arg-type]
        )  # fmt: skip
        self.process.delaybeforesend = None
        self.process.expect_exact("tunedeck")
        self.rest()
        self.process.send("2")
        self.process.expect("token [0-9,]+ of")
        self.rest(2.0)

    @property
    def resident_bytes(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def rest(self, seconds: float = REST_SECONDS) -> None:
        """Wait until nothing has been drawn for so long."""
        while self._more(seconds):
            pass

    def key(self, key: str) -> float | None:
        """Seconds from the key to the end of the burst it causes; None if nothing was painted."""
        started = time.perf_counter()
        self.process.send(key)
        if not self._more(2.0):
            return None
        ended = time.perf_counter()
        while self._more(BURST_SECONDS):
            ended = time.perf_counter()
        self.rest()
        return ended - started

    def until(self, key: str, text: str) -> float:
        """Seconds from the key until this text has been drawn."""
        started = time.perf_counter()
        self.process.send(key)
        self.process.expect(text)
        seconds = time.perf_counter() - started
        self.rest(1.0)
        return seconds

    def close(self) -> None:
        self.process.close(force=True)

    def _more(self, seconds: float) -> bool:
        try:
            return bool(self.process.read_nonblocking(1 << 20, timeout=seconds))
        except pexpect.TIMEOUT:
            return False


def moves(app: App, what: str, keys: tuple[str, ...], count: int) -> Moves:
    """Keys in turn, and what they cost."""
    first = app.resident_bytes
    timed = [(key, app.key(key)) for key in (keys[number % len(keys)] for number in range(count))]
    painted = sorted((seconds, key) for key, seconds in timed if seconds is not None)
    times = [seconds for seconds, _ in painted]
    return Moves(
        what, len(times), statistics.median(times), times[int(0.95 * (len(times) - 1))],
        repr(painted[-1][1]), times[-1], first, app.resident_bytes,
    )  # fmt: skip


def make_rows(path: Path, count: int) -> None:
    """A set of `count` short conversations."""
    with path.open("w", encoding="utf-8") as file:
        for start in range(0, count, 10_000):
            file.writelines(
                f'{{"messages": [{{"role": "user", "content": "Question {number}: how far is it to number {number * 7}?"}},'
                f' {{"role": "assistant", "content": "It is {number} miles, and no further."}}]}}\n'
                for number in range(start, min(start + 10_000, count))
            )


def make_long_row(path: Path, tokens: int) -> None:
    """One conversation of about so many tokens of the embedded tokenizer, and a few short ones."""
    from core.data.tokenizer import load_tokenizer
    from core.workspace import EMBEDDED_MODEL

    words = "The road is long, the night is dark, and 1729 stars are out.\nWe walk on. "
    each = len(load_tokenizer(EMBEDDED_MODEL).encode(words * 50)) / 50
    turns = 40
    text = words * int(tokens / turns / each)
    messages = [
        {"role": ("user", "assistant")[turn % 2], "content": f"{turn}: {text}"} for turn in range(turns)
    ]
    short = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes."}]
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"messages": chat}) + "\n" for chat in (messages, short, short))


def show(one: Moves) -> None:
    print(
        f"{one.what:<28}{one.keys:>5}{1000 * one.p50_seconds:>8.0f}{1000 * one.p95_seconds:>8.0f}"
        f"{1000 * one.worst_seconds:>8.0f} {one.worst_key:<10}{one.first_bytes / 2**20:>9.0f}"
        f"{one.last_bytes / 2**20:>9.0f}   {'holds' if one.holds else 'FAILS'}"
    )


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--tokens", type=int, default=100_000)
    options.add_argument("--keys", type=int, default=60)
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    print(
        f"{'moving through':<28}{'keys':>5}{'p50 ms':>8}{'p95 ms':>8}{'worst':>8} {'key':<10}{'MiB':>9}{'at end':>9}"
    )
    results: list[Moves] = []
    with tempfile.TemporaryDirectory() as folder:
        workspace, rows = Path(folder), Path(folder) / "rows.jsonl"
        make_rows(rows, chosen.rows)
        app = App(workspace, rows, 2048)
        results.append(moves(app, f"{chosen.rows:,} rows", ROW_KEYS, chosen.keys))
        show(results[-1])
        app.key("g")
        relabelled = statistics.mean(app.until("m", reason) for reason in REASONS)
        app.close()
        make_long_row(rows, chosen.tokens)
        app = App(workspace, rows, 10 * chosen.tokens)
        app.key("\t")
        results.append(moves(app, f"a row of {chosen.tokens:,} tokens", TOKEN_KEYS, chosen.keys))
        show(results[-1])
        app.close()
    print(
        f"labelled anew {1000 * relabelled:.0f} ms after the key (bar {1000 * RELABEL_BAR_SECONDS:.0f} ms): "
        f"{'holds' if relabelled <= RELABEL_BAR_SECONDS else 'FAILS'}"
    )
    if chosen.json:
        chosen.json.write_text(
            json.dumps({"moves": [asdict(one) for one in results], "relabel_seconds": relabelled}, indent=2)
        )


if __name__ == "__main__":
    main()
