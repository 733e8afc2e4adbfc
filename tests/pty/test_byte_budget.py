"""What the app sends over the link stays small; measured in a real terminal by the benchmark itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_idle_and_training_stay_within_their_bytes(tmp_path: Path) -> None:
    out = tmp_path / "bytes.json"
    subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "terminal_bytes.py", "--seconds", "6", "--json", out],
        check=True,
        cwd=ROOT,
    )
    measured = json.loads(out.read_text())
    assert measured["idle"] <= 100
    assert 200 < measured["training"] <= 3000
