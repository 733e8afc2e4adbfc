"""How long until the first paint: the app beside a bare Textual app with as many widgets.

    python benchmarks/startup.py [--rounds 7] [--json FILE]

Both run in a real pty, in turns, so that a busy machine slows both. Time is from the start of the process to
the first painted text. Bar: 1.5x. Also prints the modules each imports, and whether torch is among them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import pexpect

ROOT = Path(__file__).resolve().parents[1]
BAR = 1.5
MARK = "tunedeck"

BARE = f"""
import asyncio, sys
from textual.app import App
from textual.containers import Vertical
from textual.widgets import Static

class Bare(App):
    def compose(self):
        with Vertical():
            yield Static("{MARK}")
            for _ in range(int(sys.argv[1]) - 2):
                yield Static("x")

Bare().run()
"""

COUNT = """
import asyncio, json, sys
from pathlib import Path
from core.workspace import Workspace
from tui.commands.screen import prepare_environment
prepare_environment()
from tui.app import DeckApp
from tui.deck import open_deck
async def main():
    app = DeckApp(open_deck(Workspace(Path(sys.argv[1]))))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        names = {name.partition(".")[0] for name in sys.modules}
        heavy = sorted(names & {"torch", "transformers", "trl", "peft", "datasets", "accelerate", "bitsandbytes"})
        print(json.dumps({"widgets": len(app.screen.query("*")), "modules": len(sys.modules), "heavy": heavy}))
asyncio.run(main())
"""


def first_paint_seconds(arguments: list[str], folder: str) -> float:
    """Start a process on a pty and wait for the mark on its screen."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    start = time.perf_counter()
    process = pexpect.spawn(
        sys.executable,
        arguments,
        dimensions=(40, 120),
        cwd=folder,
        env=environment,
        timeout=60,  # type: ignore[arg-type]
    )
    process.expect_exact(MARK)
    seconds = time.perf_counter() - start
    process.close(force=True)
    return seconds


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--json", type=Path)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counted = pexpect.run(
            f"{sys.executable} -c '{COUNT}' {folder}", cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        facts = json.loads(counted.decode().strip().splitlines()[-1])
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE)
        ours, theirs = [], []
        for _ in range(chosen.rounds):
            theirs.append(first_paint_seconds([str(bare), str(facts["widgets"])], folder))
            ours.append(first_paint_seconds(["-P", "-m", "tui.cli"], folder))
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"widgets {facts['widgets']}, modules {facts['modules']}, heavy imports {facts['heavy'] or 'none'}")
    print(f"bare Textual app  {1000 * statistics.median(theirs):6.0f} ms")
    print(f"tunedeck          {1000 * statistics.median(ours):6.0f} ms")
    print(f"ratio {ratio:.2f} (bar {BAR}): {'holds' if ratio <= BAR and not facts['heavy'] else 'FAILS'}")
    if chosen.json:
        result = {"ratio": ratio, "bar": BAR, "ours_seconds": ours, "bare_seconds": theirs, **facts}
        chosen.json.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
