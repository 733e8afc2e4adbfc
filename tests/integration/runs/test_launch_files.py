"""Launch files: what they say, and that two nodes started by them train what one process does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from core.errors import UsageError
from core.export.launch_files import launch_files
from core.recipe import Recipe, parse_recipe
from core.runs.distributed import accelerate_config, launcher_environment
from core.runs.events import EventWriter, read_events
from core.runs.record import Record
from core.runs.start import create
from core.runs.state import read_state
from core.workspace import Workspace
from tests.integration.runs.conftest import TINY
from tui import cli

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def chats(workspace: Workspace) -> Workspace:
    workspace.root.mkdir()
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Say {n}."},
                {"role": "assistant", "content": "I say it."},
            ]
        }
        for n in range(24)
    ]
    (workspace.root / "chat.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return workspace


def recipe_of(model: Path | str, *changes: str) -> Recipe:
    fixed = [f'model.source="{model}"', "data.source=chat.jsonl", "tuner.dropout=0.0", "training.max_steps=3"]
    return parse_recipe(TINY, [*fixed, *changes])


def losses(folder: Path) -> list[float]:
    record = Record()
    record.add(read_events(folder)[0])
    return list(record.curves["loss"].values)


def free_port() -> int:
    """A free port below 60000, as the Slurm script makes them."""
    while True:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        if 10000 <= port < 60000:
            return port


@pytest.mark.slow
def test_two_nodes_train_what_one_process_does(chats: Workspace, tiny_model: Path, tmp_path: Path) -> None:
    """The Slurm script with Slurm's own programs played by two shell scripts; everything else is real."""
    from core.train.building import build_trainer, open_session
    from core.train.signals import StopSignals

    one = create(chats, recipe_of(tiny_model, "training.micro_batch=2"), name="one")
    signals = StopSignals(lambda name: None)
    trainer = build_trainer(open_session(one, EventWriter(one.folder), signals, time.monotonic()))
    trainer.train()
    whole = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    recipe = recipe_of(tiny_model, "launch.strategy=fsdp", "launch.processes=2", "training.micro_batch=1")
    run, files = launch_files(chats, recipe, "slurm", nodes=2, prepared=one.data)
    before = read_state(run.folder)
    assert (before.state, before.what) == ("stopped", "not started yet; launch/slurm.sh does")

    programs = _slurm_programs(
        tmp_path,
        scontrol='[ "$*" = "show hostnames two" ] && echo 127.0.0.1 && echo 127.0.0.2',
        srun='shift\nSLURM_NODEID=1 "$@" & other=$!\nSLURM_NODEID=0 "$@"\ncode=$?\nwait $other && exit $code',
    )
    port = free_port()
    environment = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "SLURM_JOB_NODELIST": "two",
        "SLURM_JOB_ID": str(port - 10000),  # the script makes its port of the job's number
        "OMP_NUM_THREADS": "1",
    }
    ran = subprocess.run(
        ["bash", str(files[-1])], env=environment, capture_output=True, text=True, timeout=240
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr  # a node that did not start has no log yet

    state = read_state(run.folder)
    assert (state.state, state.step) == ("done", 3)
    environments = [event for event in read_events(run.folder)[0] if event["kind"] == "environment"]
    assert [event["devices"] for event in environments] == [2]
    assert losses(run.folder) == pytest.approx(whole, abs=2e-4)
    assert (run.adapter / "adapter_model.safetensors").is_file()


def test_the_first_of_very_many_nodes_is_the_master(
    chats: Workspace, tiny_model: Path, tmp_path: Path
) -> None:
    """More names than a pipe holds: who reads only the first would end `scontrol`, and with it the job."""
    recipe = recipe_of(tiny_model, "launch.strategy=fsdp", "launch.processes=2")
    _, files = launch_files(chats, recipe, "slurm", nodes=2)
    programs = _slurm_programs(
        tmp_path, scontrol="seq -f node%06.0f 20000", srun='echo "$MASTER_ADDR $MASTER_PORT"'
    )
    environment = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "many",
        "SLURM_JOB_ID": "51234",
    }
    ran = subprocess.run(["bash", str(files[-1])], env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "node000001 11234\n", "")


def _slurm_programs(tmp_path: Path, **programs: str) -> Path:
    """A folder with shell scripts in the place of Slurm's own programs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    return folder


def test_what_the_files_say(chats: Workspace, tiny_model: Path) -> None:
    recipe = recipe_of(
        tiny_model,
        "launch.strategy=fsdp",
        "launch.processes=8",
        'launch.devices="auto"',
        "model.dtype=bfloat16",
    )
    run, (node, slurm) = launch_files(chats, recipe, "slurm", nodes=2, name="big")
    text = node.read_text()
    assert '--nnodes 2 --nproc-per-node 4 --node-rank "${NODE_RANK:-0}"' in text
    assert "export FSDP_VERSION=2\n" in text and "export ACCELERATE_USE_FSDP=true\n" in text
    assert "CUDA_VISIBLE_DEVICES" not in text
    assert {line for line in slurm.read_text().splitlines() if line.startswith("#SBATCH")} == {
        f"#SBATCH --job-name=run-{run.id}",
        "#SBATCH --nodes=2",
        "#SBATCH --ntasks-per-node=1",
        "#SBATCH --gpus-per-node=4",
        "#SBATCH --cpus-per-task=16",
        f"#SBATCH --output={run.folder}/launch/slurm-%j.out",
        "#SBATCH --requeue",
        "#SBATCH --signal=TERM@120",
    }
    for script in (node, slurm):
        assert subprocess.run(["bash", "-n", str(script)]).returncode == 0

    other, files = launch_files(chats, recipe, "skypilot", nodes=2, gpu="H100", prepared=run.data)
    task = yaml.safe_load(files[-1].read_text())
    assert task["num_nodes"] == 2
    assert task["resources"] == {"cpus": "16+", "accelerators": "H100:4"}
    assert task["file_mounts"] == {"~/run": str(other.folder)}
    assert task["run"].endswith("exec bash ~/run/launch/torchrun.sh\n")

    third, files = launch_files(chats, recipe, "kubernetes", nodes=2, prepared=run.data)
    service, job = yaml.safe_load_all(files[-1].read_text())
    assert service["spec"]["clusterIP"] == "None" and service["metadata"]["name"] == f"run-{third.id}"
    assert (job["spec"]["completions"], job["spec"]["completionMode"]) == (2, "Indexed")
    pod = job["spec"]["template"]["spec"]
    assert pod["subdomain"] == f"run-{third.id}"
    (container,) = pod["containers"]
    assert container["resources"]["limits"] == {"cpu": 16, "nvidia.com/gpu": 4}
    commands = container["args"][0]
    assert f"MASTER_ADDR=run-{third.id}-0.run-{third.id}" in commands
    assert f"exec bash /work/runs/{third.id}/launch/torchrun.sh" in commands
    for shell in (task["setup"], task["run"], commands):
        assert subprocess.run(["bash", "-n"], input=shell, text=True).returncode == 0


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        (
            ["launch.strategy=ddp", "launch.processes=3"],
            {"to": "torchrun", "nodes": 2},
            "3 processes do not divide",
        ),
        ([], {"to": "torchrun", "nodes": 2}, "1 processes do not divide"),
        ([], {"to": "lsf"}, "no launch files for lsf"),
        (['launch.devices="auto"'], {"to": "skypilot"}, "none is named"),
    ],
)
def test_what_makes_no_sense_is_refused(
    chats: Workspace, tiny_model: Path, changes: list[str], options: dict, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        launch_files(chats, recipe_of(tiny_model, *changes), **options)
    assert not chats.runs.exists()


@pytest.mark.parametrize("strategy", ["ddp", "fsdp", "zero1", "zero3"])
def test_the_environment_is_accelerates_own(strategy: str, tmp_path: Path) -> None:
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env

    recipe = parse_recipe("", [f"launch.strategy={strategy}", "launch.processes=2"])
    config = tmp_path / "accelerate.json"
    config.write_text(json.dumps(accelerate_config(recipe, on_cpu=True)))
    words = ["--config_file", str(config), "--module", "core.train", "run"]
    arguments, defaults, _ = _validate_launch_command(launch_command_parser().parse_args(words))
    if strategy.startswith("zero"):
        arguments.deepspeed_fields_from_accelerate_config = ",".join(defaults.deepspeed_config)
        theirs = prepare_deepspeed_cmd_env(arguments)[1]
    else:
        theirs = prepare_multi_gpu_env(arguments)
    ours = launcher_environment(recipe)
    assert {key: theirs.get(key) for key in ours} == ours
    named = {key for key in theirs if key.startswith(("ACCELERATE_USE", "ACCELERATE_DEEPSPEED"))}
    assert named <= ours.keys()


def test_the_command_takes_a_recipe_or_a_run(
    chats: Workspace, tiny_model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.recipe import recipe_text

    def command(*words: str) -> dict:
        with pytest.raises(SystemExit) as left:
            cli.main(["--workspace", str(chats.root), "export", *words, "--json"])
        assert left.value.code in (0, None)
        return json.loads(capsys.readouterr().out)

    file = chats.root / "r.toml"
    file.write_text(recipe_text(recipe_of(tiny_model)))
    first = command("torchrun", str(file))
    assert [Path(path).name for path in first["files"]] == ["torchrun.sh"]
    assert sys.executable in Path(first["files"][0]).read_text()
    # The same in the other order of words, from the run that was just made.
    second = command(first["id"], "--to", "kubernetes", "--set", "training.seed=7")
    assert [Path(path).name for path in second["files"]] == ["torchrun.sh", "kubernetes.yaml"]
    assert second["id"] != first["id"]
