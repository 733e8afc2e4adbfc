"""What goes wrong in a chat: memory that runs out in mid-answer, two apps with one run, two that save to one file."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from core.chat.client import ChatWorker
from core.chat.conversation import load_conversations, save_conversation
from core.chat.messages import Done, Failure
from core.chat.sampling import Sampling
from core.chat.subject import Subject

QUESTION = [{"role": "user", "content": "the cat sees the dog"}]
SHORT = Sampling(temperature=0.0, max_tokens=6)


@pytest.fixture(scope="module")
def long_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a context of 16,384 tokens and wider layers."""
    folder = tmp_path_factory.mktemp("models") / "long"
    config = LlamaConfig.from_pretrained(tiny_model, max_position_embeddings=16384, intermediate_size=8192)
    LlamaForCausalLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    return folder


def test_memory_that_runs_out_in_mid_answer_is_one_clear_error(
    long_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # threads made late would take address space of their own
    with ChatWorker(Subject("long", long_model, dtype="float32")) as worker:
        first = worker.wait(worker.ask(QUESTION, sampling=SHORT))
        assert worker.pid is not None
        pid = worker.pid
        size = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
        room = 128 << 20  # less than one activation of the long prompt, enough to read it
        resource.prlimit(pid, resource.RLIMIT_AS, (size + room, resource.RLIM_INFINITY))
        long = [{"role": "user", "content": "the cat sees the dog " * 1500}]
        number = worker.ask(long, sampling=SHORT)
        ends = []
        while not ends:
            ends = [m for m in worker.poll(0.5) if isinstance(m, (Done, Failure)) and m.number == number]
        failure = ends[0]
        assert isinstance(failure, Failure) and not failure.fatal
        assert "host memory: out of memory" in failure.what and "nothing said is lost" in failure.what
        assert "Traceback" not in failure.what and "alloc_cpu" not in failure.what

        # The process lives, and goes on as soon as there is memory again.
        resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert worker.wait(worker.ask(QUESTION, sampling=SHORT)).ids == first.ids
        assert worker.pid == pid


def test_two_apps_chat_with_one_run(tiny_model: Path, tiny_adapter: Path) -> None:
    subject = Subject("tiny", tiny_model, adapter=tiny_adapter, dtype="float32")
    with ChatWorker(subject) as one, ChatWorker(subject) as other:
        numbers = one.ask(QUESTION, sampling=SHORT), other.ask(QUESTION, sampling=SHORT)
        assert one.wait(numbers[0]).ids == other.wait(numbers[1]).ids
        assert one.pid != other.pid
        one.close()
        assert other.wait(other.ask(QUESTION, who="base", sampling=SHORT)).text


def test_two_programs_that_save_to_one_file_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from core.chat.conversation import save_conversation\n"
        "for number in range(20):\n"
        "    save_conversation(Path(sys.argv[1]), [{'role': 'user', 'content': f'{sys.argv[2]} {number}'}])\n"
    )
    file = tmp_path / "talk.jsonl"
    running = [subprocess.Popen([sys.executable, "-P", "-c", code, str(file), name]) for name in "ab"]
    assert [process.wait() for process in running] == [0, 0]
    found = {messages[0]["content"] for messages in load_conversations(file)}
    assert found == {f"{name} {number}" for name in "ab" for number in range(20)}


def test_a_line_end_inside_a_message_does_not_cut_the_row(tmp_path: Path) -> None:
    file = tmp_path / "talk.jsonl"
    messages = [{"role": "user", "content": "one\u2028two\x85three\nfour"}]
    assert save_conversation(file, messages) == 0
    assert save_conversation(file, messages) == 1
    assert [list(found) for found in load_conversations(file)] == [messages, messages]
    assert json.loads(file.read_text().split("\n")[0])["messages"] == messages
