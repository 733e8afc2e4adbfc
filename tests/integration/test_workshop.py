"""The workshop: a real child process that works, fails in words, dies and comes back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from core.errors import TunedeckError
from core.workshop import Failure, Progress, Result, Workshop

HERE = "tests.integration.test_workshop"


def double(number: int, progress: Callable[[Any], None]) -> int:
    progress("half way")
    return number * 2


def refuse(progress: Callable[[Any], None]) -> None:
    raise TunedeckError("row 3 has no answer", where="yoda.jsonl", fix="write one")


def die(progress: Callable[[Any], None]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(progress: Callable[[Any], None]) -> None:
    time.sleep(60)


def loud(progress: Callable[[Any], None]) -> int:
    os.write(1, b"noise on stdout\n")
    os.write(2, b"noise on stderr\n")
    return os.getpid()


@pytest.fixture
def workshop() -> Iterator[Workshop]:
    made = Workshop()
    yield made
    made.cancel()


def test_progress_then_result(workshop: Workshop) -> None:
    job = workshop.submit(f"{HERE}:double", number=21)
    messages: list[Any] = []
    while not any(isinstance(message, Result) for message in messages):
        messages += workshop.poll(timeout_seconds=5)
    assert messages == [Progress(job, "half way"), Result(job, 42)]


def test_a_refusal_arrives_in_its_own_words(workshop: Workshop) -> None:
    with pytest.raises(TunedeckError, match="yoda.jsonl: row 3 has no answer\nwrite one"):
        workshop.wait(workshop.submit(f"{HERE}:refuse"))


def test_a_dead_child_is_told_and_replaced(workshop: Workshop) -> None:
    job = workshop.submit(f"{HERE}:die")
    messages: list[Any] = []
    while not messages:
        messages += workshop.poll(timeout_seconds=5)
    assert isinstance(messages[0], Failure)
    assert messages[0].job == job
    assert workshop.wait(workshop.submit(f"{HERE}:double", number=1)) == 2


def test_cancel_ends_a_job_at_once(workshop: Workshop) -> None:
    workshop.submit(f"{HERE}:sleep")
    workshop.poll(timeout_seconds=0.5)
    started = time.monotonic()
    workshop.cancel()
    assert time.monotonic() - started < 5
    assert workshop.wait(workshop.submit(f"{HERE}:double", number=4)) == 8


def test_what_a_job_prints_does_not_reach_the_terminal(
    workshop: Workshop, capfd: pytest.CaptureFixture[str]
) -> None:
    assert workshop.wait(workshop.submit(f"{HERE}:loud")) != os.getpid()
    assert capfd.readouterr() == ("", "")
