"""The wheel carries all of tunedeck, and works from a folder that has a `core` of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("wheel")  # its fixture is dear: made once, in one worker

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources so that nothing is written beside them."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("core", "tui", "themes"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)],
        check=True,
        capture_output=True,
    )
    return next(out.glob("*.whl"))


@pytest.mark.slow
def test_every_file_that_is_tracked_is_in_the_wheel(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        path.relative_to(ROOT).as_posix()
        for room in ("core", "tui", "themes")
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert sorted(wanted - packed) == []


@pytest.mark.slow
def test_the_wheel_in_an_empty_environment_trains_from_a_folder_with_its_own_core(
    wheel: Path, tmp_path: Path
) -> None:
    """Three steps of the real demo, with nothing installed but the wheel and what it asks for."""
    tunedeck = _empty_environment(tmp_path / "venv", wheel) / "tunedeck"
    workspace = tmp_path / "workspace"
    (workspace / "core").mkdir(parents=True)
    (workspace / "core" / "__init__.py").write_text("raise SystemExit('the wrong core was imported')\n")
    run = subprocess.run(
        [tunedeck, "demo", "--headless", "--json", "--set", "training.max_steps=3"],
        cwd=workspace,
        env=_own_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    outcome = json.loads(run.stdout)
    assert Path(outcome["run"]).parent == workspace / "runs"
    assert outcome["scores"]["base_repeats"] >= 0.95
    assert outcome["scores"]["adapter_off_repeats"] == outcome["scores"]["base_repeats"]


def _empty_environment(folder: Path, wheel: Path) -> Path:
    """A new environment with the wheel in it, in the versions the tests run with; its folder of programs."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    constraints = ROOT / "constraints.txt"
    torch = next(line for line in constraints.read_text().splitlines() if line.startswith("torch=="))
    for wanted in (torch, str(wheel)):
        done = subprocess.run(
            [*pip, "-c", constraints, wanted],
            env=_own_environment(),
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    return folder / "bin"


def _own_environment() -> dict[str, str]:
    """Without PYTHONPATH: what it names would count as installed."""
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
