"""Files that start a run on other machines: torchrun on each node, or Slurm, SkyPilot or Kubernetes around it.

They train the same recipe, on the rows prepared here, by the same trainer (`core.train`). Every target has
`torchrun.sh`, which trains on one node; the other files only start it on each of them.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core import __version__
from core.errors import TunedeckError, UsageError
from core.recipe import Recipe
from core.runs.distributed import ELASTIC_SIGNALS, launcher_environment
from core.runs.events import append_event
from core.runs.folder import PREPARED, Run
from core.runs.start import create, default_name
from core.workspace import Workspace, write_atomically

NODE_SCRIPT = "torchrun.sh"
PORT = 29500  # torch's own default
GRACE_SECONDS = 120  # between the warning and the end of a node: enough for a checkpoint
CPUS_PER_PROCESS = 4
CLAIM = "tunedeck"  # name of the volume claim that holds the workspace on Kubernetes


@dataclass(frozen=True, slots=True)
class Job:
    """What the files are written for."""

    run: Run
    recipe: Recipe
    model: str  # Hub id to fetch on each node; empty if there is nothing to fetch
    revision: str
    nodes: int
    gpu: str  # name of the GPU, where the target asks for one

    @property
    def per_node(self) -> int:
        return self.recipe.ranks // self.nodes

    @property
    def on_cpu(self) -> bool:
        return self.recipe.launch.devices == "cpu"

    @property
    def name(self) -> str:
        """The run's id as Kubernetes and SkyPilot want names: it begins with a letter."""
        return f"run-{self.run.id}"[:52].rstrip("-")

    @property
    def install(self) -> list[str]:
        """Commands that make a bare node ready."""
        fetch = f"tunedeck models get {shlex.quote(self.model)} --revision {self.revision}"
        return [f"pip install tunedeck=={__version__}", *([fetch] if self.model else [])]


def launch_files(
    workspace: Workspace,
    recipe: Recipe,
    to: str,
    *,
    nodes: int = 1,
    gpu: str = "",
    name: str | None = None,
    prepared: Path | None = None,
) -> tuple[Run, tuple[Path, ...]]:
    """Make a run folder for a recipe, with its prepared rows, and files in `launch/` that train it elsewhere.

    Raises UsageError for an unknown target, for processes that do not divide into the nodes, and for a
    target that needs the name of a GPU; TunedeckError if the folder cannot be written.
    """
    _require_sense(recipe, to, nodes, gpu)
    run = create(workspace, recipe, name=name or default_name(recipe), prepared=prepared)
    model = run.read_json(run.identity)["model"]
    from_hub = model["kind"] == "hub"
    job = Job(run, recipe, model["source"] if from_hub else "", model["revision"], nodes, gpu)
    written = []
    try:
        folder = run.folder / "launch"
        folder.mkdir()
        for file, text in {NODE_SCRIPT: node_script(job), **TARGETS[to](job)}.items():
            write_atomically(folder / file, text)
            written.append(folder / file)
        append_event(run.folder, "status", state=PREPARED, note="")
        append_event(
            run.folder,
            "end",
            state="stopped",
            note=f"not started yet; launch/{written[-1].name} does",
            step=0,
        )
    except OSError as error:
        raise TunedeckError(
            f"the launch files cannot be written: {error.strerror}", where=str(run.folder)
        ) from None
    return run, tuple(written)


def node_script(job: Job) -> str:
    """What each node runs. The folder is found from the script itself, so it may lie elsewhere on the nodes."""
    environment = ELASTIC_SIGNALS | launcher_environment(job.recipe)
    environment |= {"PYTHONSAFEPATH": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_WAIT_POLICY": "PASSIVE"}
    if job.on_cpu:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    exports = "\n".join(f"export {key}={shlex.quote(value)}" for key, value in environment.items())
    where = "NODE_RANK=0 MASTER_ADDR=first-node bash" if job.nodes > 1 else "bash"
    return f"""#!/usr/bin/env bash
# Trains run {job.run.id} on this node: {job.nodes} in all, {job.per_node} processes on each.
#   {where} {NODE_SCRIPT}
# PYTHON names another interpreter, MASTER_PORT another port. A second start goes on from the newest whole
# checkpoint; RESUME= (empty) starts anew.
set -euo pipefail
run=$(cd "$(dirname "${{BASH_SOURCE[0]}}")/.." && pwd)
{exports}
exec "${{PYTHON:-{sys.executable}}}" -P -m torch.distributed.run \\
  --nnodes {job.nodes} --nproc-per-node {job.per_node} --node-rank "${{NODE_RANK:-0}}" \\
  --master-addr "${{MASTER_ADDR:-127.0.0.1}}" --master-port "${{MASTER_PORT:-{PORT}}}" \\
  --module core.train "$run" ${{RESUME---resume}} >> "$run/log.txt" 2>&1
"""


def slurm(job: Job) -> dict[str, str]:
    """A batch script. The workspace and the interpreter lie on a file system that all nodes see."""
    gpus = "" if job.on_cpu else f"#SBATCH --gpus-per-node={job.per_node}\n"
    script = shlex.quote(str(job.run.folder / "launch" / NODE_SCRIPT))
    text = f"""#!/usr/bin/env bash
#SBATCH --job-name={job.name}
#SBATCH --nodes={job.nodes}
#SBATCH --ntasks-per-node=1
{gpus}#SBATCH --cpus-per-task={CPUS_PER_PROCESS * job.per_node}
#SBATCH --output={job.run.folder}/launch/slurm-%j.out
#SBATCH --requeue
#SBATCH --signal=TERM@{GRACE_SECONDS}
# sbatch launch/slurm.sh: a job that is taken away writes a checkpoint, and goes on from it when it is requeued.
set -euo pipefail
hosts=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
export MASTER_ADDR="${{hosts%%$'\\n'*}}" MASTER_PORT=$((10000 + SLURM_JOB_ID % 50000))
srun --kill-on-bad-exit=1 bash -c 'NODE_RANK=$SLURM_NODEID exec bash "$0"' {script}
"""
    return {"slurm.sh": text}


def skypilot(job: Job) -> dict[str, str]:
    """A SkyPilot task. Nodes have disks of their own: the first one holds events, checkpoints and result."""
    accelerators = "" if job.on_cpu else f"  accelerators: {job.gpu}:{job.per_node}\n"
    text = f"""# sky launch -c {job.name} launch/skypilot.yaml
# The result, afterwards: rsync -Pavz {job.name}:run/ {shlex.quote(str(job.run.folder))}/
name: {job.name}
num_nodes: {job.nodes}
resources:
  cpus: {CPUS_PER_PROCESS * job.per_node}+
{accelerators}file_mounts:
  ~/run: {_yaml(str(job.run.folder))}
setup: |
{_indented(job.install, 2)}
run: |
  export PYTHON=python RESUME= NODE_RANK="$SKYPILOT_NODE_RANK"
  export MASTER_ADDR="$(echo "$SKYPILOT_NODE_IPS" | head -n 1)"
  exec bash ~/run/launch/{NODE_SCRIPT}
"""
    return {"skypilot.yaml": text}


def kubernetes(job: Job) -> dict[str, str]:
    """An indexed Job with a headless Service: the pods find the first one by its name."""
    gpus = "" if job.on_cpu else f"\n              nvidia.com/gpu: {job.per_node}"
    text = f"""# kubectl apply -f launch/kubernetes.yaml
# The claim "{CLAIM}" holds the workspace, so that the run is /work/runs/{job.run.id} in every pod.
apiVersion: v1
kind: Service
metadata:
  name: {job.name}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector:
    job-name: {job.name}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {job.name}
spec:
  completionMode: Indexed
  completions: {job.nodes}
  parallelism: {job.nodes}
  backoffLimit: 3
  template:
    spec:
      subdomain: {job.name}
      restartPolicy: Never
      terminationGracePeriodSeconds: {GRACE_SECONDS}
      volumes:
        - name: work
          persistentVolumeClaim:
            claimName: {CLAIM}
        - name: shared-memory
          emptyDir:
            medium: Memory
      containers:
        - name: trainer
          image: python:3.11
          command: [bash, -ec]
          args:
            - |
{_indented(job.install, 14)}
              export PYTHON=python NODE_RANK="$JOB_COMPLETION_INDEX" MASTER_ADDR={job.name}-0.{job.name}
              exec bash /work/runs/{job.run.id}/launch/{NODE_SCRIPT}
          resources:
            limits:
              cpu: {CPUS_PER_PROCESS * job.per_node}{gpus}
          volumeMounts:
            - name: work
              mountPath: /work
            - name: shared-memory
              mountPath: /dev/shm
"""
    return {"kubernetes.yaml": text}


TARGETS: dict[str, Callable[[Job], dict[str, str]]] = {
    "torchrun": lambda job: {},
    "slurm": slurm,
    "skypilot": skypilot,
    "kubernetes": kubernetes,
}


def _require_sense(recipe: Recipe, to: str, nodes: int, gpu: str) -> None:
    if to not in TARGETS:
        raise UsageError(f"there are no launch files for {to}", fix=f"known: {', '.join(TARGETS)}")
    if nodes < 1 or recipe.ranks % nodes:
        raise UsageError(
            f"{recipe.ranks} processes do not divide into {nodes} nodes",
            where="launch.processes",
            fix=f"--set launch.strategy=ddp --set launch.processes={max(nodes, 1)} trains with one on each",
        )
    if to == "skypilot" and not gpu and recipe.launch.devices != "cpu":
        raise UsageError(
            "SkyPilot chooses machines by their GPU, and none is named", fix="for example --gpu H100"
        )


def _yaml(text: str) -> str:
    """A string as a YAML scalar; JSON's form is one."""
    import json

    return json.dumps(text, ensure_ascii=False)


def _indented(lines: list[str], columns: int) -> str:
    return "\n".join(" " * columns + line for line in lines)
