"""The chat process as the app uses it: started, asked, cancelled, killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.chat.client import ChatWorker
from core.chat.messages import Done, Failure, Inspection, Loaded, Piece, Started
from core.chat.sampling import Sampling
from core.chat.subject import Subject
from core.errors import TunedeckError

QUESTION = [{"role": "user", "content": "the cat sees the dog"}]
SHORT = Sampling(temperature=0.0, max_tokens=8)


@pytest.fixture(scope="module")
def subject(tiny_model: Path, tiny_adapter: Path) -> Subject:
    return Subject("tiny", tiny_model, adapter=tiny_adapter, dtype="float32")


@pytest.fixture
def worker(subject: Subject) -> Iterator[ChatWorker]:
    with ChatWorker(subject) as worker:
        yield worker


def test_asks_cancels_and_survives_a_kill(worker: ChatWorker) -> None:
    number = worker.ask(QUESTION, who="tuned", sampling=SHORT)
    seen = list(worker.answers(number))
    assert [type(message) for message in seen[:3]] == [Loaded, Started, Piece]
    assert isinstance(seen[-1], Done)
    tuned = seen[-1].answer
    assert tuned.first_token_seconds > 0 and tuned.tokens_per_second > 0
    assert worker.loaded is not None and worker.loaded.voices == ("base", "tuned")
    assert worker.loaded.has_template and worker.loaded.context_length == 256
    assert not worker.busy and worker.poll() == []

    shown = [m for m in worker.answers(worker.inspect(tuned)) if isinstance(m, Inspection)]
    assert [chance.id for chance in shown[0].answer] == list(tuned.ids)

    # A long answer is stopped at once and the next one is not disturbed.
    long = worker.ask(QUESTION, sampling=Sampling(temperature=1.0, max_tokens=200, seed=1))
    queued = worker.ask(QUESTION, sampling=SHORT)
    worker.cancel(long)
    stopped = worker.wait(long)
    assert stopped.stop in ("cancelled", "eos")
    assert worker.wait(queued).ids == tuned.ids

    # Killed in the middle: a clear failure, and the next question starts a fresh process.
    pid = worker.pid
    assert pid is not None
    open_number = worker.ask(QUESTION, who="base")
    os.kill(pid, signal.SIGKILL)
    failures: list[Failure] = []
    deadline = time.monotonic() + 20
    while worker.busy and time.monotonic() < deadline:
        failures += [m for m in worker.poll(timeout_seconds=0.5) if isinstance(m, Failure)]
    assert [(failure.number, failure.fatal) for failure in failures] == [(open_number, True)]
    assert "killed" in failures[0].what and "conversation is kept" in failures[0].what
    assert worker.wait(worker.ask(QUESTION, who="tuned", sampling=SHORT)).ids == tuned.ids
    assert worker.pid != pid


def test_a_model_that_cannot_be_loaded_fails_every_open_question(tiny_adapter: Path, tmp_path: Path) -> None:
    with ChatWorker(Subject("nothing", tmp_path, adapter=tiny_adapter)) as worker:
        number = worker.ask(QUESTION)
        with pytest.raises(TunedeckError, match="no usable tokenizer"):
            worker.wait(number)
        assert worker.pid is None and not worker.busy


def test_the_worker_leaves_when_the_app_does(subject: Subject) -> None:
    code = (
        "import os, sys, pickle\n"
        "from core.chat.client import ChatWorker\n"
        "worker = ChatWorker(pickle.loads(bytes.fromhex(sys.argv[1])))\n"
        "worker.start()\n"
        "print(worker.pid, flush=True)\n"
        "os._exit(0)\n"
    )
    import pickle

    printed = subprocess.run(
        [sys.executable, "-P", "-c", code, pickle.dumps(subject).hex()],
        capture_output=True,
        text=True,
        check=True,
    )
    pid = int(printed.stdout)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        if "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]:
            break
        time.sleep(0.1)
    else:
        assert not Path(f"/proc/{pid}").exists()


def test_the_client_imports_no_torch() -> None:
    code = "import sys, core.chat.client; print([m for m in ('torch', 'transformers', 'peft') if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"
