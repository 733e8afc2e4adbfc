"""What `tunedeck check` prints, exactly, on lengths that can be counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from core.data.check import CheckReport
from core.data.statistics import Lengths
from core.data.types import Finding
from core.recipe import Recipe, with_changes
from tui.commands.all import app
from tui.commands.check_lines import report_lines

# Four rows: tokens 10, 4, 6, 8; trained tokens 4, 3, 0, 1.
RUNS = np.array([[0, 4, 6], [0, 8, 10], [1, 1, 4], [3, 7, 8]], dtype=np.int64)
LENGTHS = Lengths(np.arange(4), np.array([10, 4, 6, 8], dtype=np.int64), RUNS, {"user": 7, "assistant": 21})
FINDING = Finding("answer-cut", "warning", (0,), "max_length cuts the answer", "raise data.max_length")
RECIPE = with_changes(Recipe(), {"data.max_length": 7, "training.micro_batch": 1, "training.accumulation": 2})


def report(*findings: Finding) -> CheckReport:
    return CheckReport(4, 3, 0, 18, 5, "tokenizers", {"total": 0.1}, findings, LENGTHS, ())


def test_the_figures() -> None:
    lines = report_lines(report(FINDING), RECIPE)
    assert lines[:7] == [
        "4 rows: 3 to train on, 0 held out (0.1 s with tokenizers)",
        "to train on, after the cut: 18 tokens, 5 trained (28%)",
        "all 4 rows with tokens, before the cut: 28 tokens, 8 trained (29%)",
        "tokens by role: assistant 21 (75%), user 7 (25%)",
        "tokens per row: shortest 4, p1 4, p5 4, p25 4, p50 6, p75 8, p95 10, p99 10, longest 10",
        "trained per row: shortest 0, p1 0, p5 0, p25 0, p50 1, p75 3, p95 4, p99 4, longest 4",
        "the tenth of the rows with most trained tokens holds 50% of them",
    ]
    bars = lines[8:18]
    assert [line.split()[-1] for line in bars if "◀" not in line] == list("000101101")
    assert bars[6] == f"{7:>9,} {'':<40} 0  ◀ max_length 7"
    assert bars[3].startswith(f"{4:>9,} " + "█" * 40 + " 1")
    assert lines[19:23] == [
        "max_length 7: 2 rows cut, 4 tokens lost, 3 of them trained; 1 row left without a label",
        "padding by micro-batch: 1: 0%, 2: 14%, 4: 14%, 8: 14%, 16: 14%, 32: 14%",
        "packs, filled: bfd 4 packs, 86%, bfd_split 4 packs, 100%, wrapped 4 packs, 100%",
        "steps: 6, 2 per epoch of 3 rows",
    ]
    assert lines[24:] == [
        "0 errors, 1 warning, 0 notes",
        "",
        "! warning answer-cut: 1 row",
        "  max_length cuts the answer",
        "  fix: raise data.max_length",
        "  row 0",
    ]


def test_json_holds_the_same_figures() -> None:
    packed = with_changes(RECIPE, {"data.packing": "bfd"})
    document = report(FINDING).to_json(packed)
    assert document["cut"]["rows_cut"] == 2 and document["cut"]["trained_lost"] == 3
    assert document["histogram"]["rows"] == [0, 0, 0, 1, 0, 1, 0, 1, 0, 1]
    assert document["histogram"]["edges"] == list(range(1, 12))
    assert (document["sequences"], document["steps_per_epoch"], document["steps"]) == (4, 2, 6)
    assert document["before_cut"]["trained_quantiles"]["p75"] == 3
    assert document["before_cut"]["heaviest_tenth"] == 0.5
    assert document["before_cut"]["by_role"] == {"user": 7, "assistant": 21}
    json.dumps(document)


def test_a_set_without_tokens_has_no_figures() -> None:
    nothing = Lengths(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 3), np.int64))
    empty = CheckReport(1, 0, 0, 0, 0, "tokenizers", {"total": 0.1}, (), nothing, ())
    assert report_lines(empty, RECIPE) == [
        "1 row: 0 to train on, 0 held out (0.1 s with tokenizers)",
        "to train on, after the cut: 0 tokens, 0 trained (0%)",
        "",
        "0 errors, 0 warnings, 0 notes",
    ]


def test_max_length_moves_the_line(tmp_path: Path) -> None:
    short, long = (
        CliRunner().invoke(app, ["check", "--data", "demo/yoda.jsonl", "--max-length", tokens, "--json"])
        for tokens in ("24", "512")
    )
    cut, whole = json.loads(short.stdout)["cut"], json.loads(long.stdout)["cut"]
    assert (cut["max_length"], whole["max_length"]) == (24, 512)
    assert cut["rows_cut"] > 0 == whole["rows_cut"] and cut["trained_lost"] > 0
