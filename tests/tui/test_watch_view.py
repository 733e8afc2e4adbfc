"""`tunedeck watch` in a terminal: a few lines in place, and what lasts above them."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pyte
import pytest

from core.runs.events import read_events
from core.runs.record import Record
from core.runs.state import read_state
from tests.tui.runs import make_run
from tui.commands.watch_view import InPlace, follow_in_place, is_possible, lines_of, spark

ROOT = Path(__file__).resolve().parents[2]


def on_screen(text: str) -> list[str]:
    screen = pyte.Screen(80, 24)
    pyte.Stream(screen).feed(text.replace("\n", "\r\n"))
    return [line.rstrip() for line in screen.display if line.strip()]


def test_lines_are_written_over_and_what_lasts_stays_above() -> None:
    stream = io.StringIO()
    view = InPlace(stream)
    view.show([], ["step 1", "loss 2.000000"])
    view.show(["eval at step 1", "\x1b[31mwarning\n" + "w" * 100], ["step 2", "loss 1"])
    assert on_screen(stream.getvalue()) == [
        "eval at step 1", "␛[31mwarning", "w" * 79, "w" * 21, "step 2", "loss 1",
    ]  # fmt: skip


def test_nothing_is_sent_when_nothing_changes() -> None:
    stream = io.StringIO()
    view = InPlace(stream)
    view.show([], ["step 1"])
    sent = len(stream.getvalue())
    view.show([], ["step 1"])
    assert len(stream.getvalue()) == sent


def test_how_a_run_stands(tmp_path: Path) -> None:
    warning = {"kind": "warning", "rule": "spike", "what": "the loss [bold]jumped\x1b"}
    folder = make_run(tmp_path, extra=[warning])
    record = Record()
    record.add(read_events(folder)[0])
    lines = lines_of(read_state(folder), record, price_per_hour=2.5)
    assert lines[0] == "● running  20260101-120000-yoda  step 132/400  33%  13m 24s left  $0.29"
    assert lines[1].startswith("  loss 0.6125  smoothed 0.7013  eval 1.023  █")
    assert lines[2] == "  rate 1.3e-4  grad 0.805  12.3k tokens/s  peak 12.4 GiB of 13.0 GiB planned"
    assert lines[3:] == ["  ! the loss [bold]jumped␛", "  ctrl-c leaves; the run goes on"]


def test_an_ended_run_is_shown_once(tmp_path: Path) -> None:
    from core.runs.folder import Run

    stream = io.StringIO()
    follow_in_place(Run(make_run(tmp_path, state="done", done=400)), stream)
    assert on_screen(stream.getvalue())[0].startswith("✓ done  20260101-120000-yoda  step 400/400  100%")


@pytest.mark.parametrize(
    ("values", "drawn"),
    [([], ""), ([1.0], "▁"), ([3.0, 2.0, 1.0], "█▅▁"), ([float("nan"), 1.0, float("inf"), 2.0], "▁█")],
)
def test_the_course_in_one_line(values: list[float], drawn: str) -> None:
    assert spark(values) == drawn


def test_a_pipe_gets_lines(tmp_path: Path) -> None:
    assert not is_possible(io.StringIO())
    make_run(tmp_path, state="done", done=3, steps=3)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tui.cli", "watch", "last"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "\x1b" not in done.stderr and "step 3/3  loss" in done.stderr
    assert done.stdout == "20260101-120000-yoda: done, step 3/3, loss 2.7364\n"
