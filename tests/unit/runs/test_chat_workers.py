"""Chats beside a run: found by their command line, closed by number and start time only."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from core.runs.chat_workers import chat_workers, close


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like a chat worker and says when it is there."""
    code = "import time; print(flush=True); time.sleep(60)"
    words = [sys.executable, "-c", code, "-m", "core.chat.worker", "7"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_a_chat_is_found_and_closed_only_as_itself(
    other: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    (found,) = [chat for chat in chat_workers(on_gpu=True) if chat.process.pid == other.pid]
    assert found.rss_bytes > 1_000_000
    assert other.pid not in [chat.process.pid for chat in chat_workers(on_gpu=False)]
    monkeypatch.setattr(os, "getppid", os.getpid)  # as in the workshop of the same app
    assert other.pid in [chat.process.pid for chat in chat_workers(on_gpu=False)]

    assert not close(replace(found, process=replace(found.process, started="1")))
    assert other.poll() is None
    assert close(found)
    assert other.wait(10) == -15
    assert not close(found)
