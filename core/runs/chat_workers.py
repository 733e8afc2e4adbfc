"""Chats of ours that are at work on this machine: each holds a whole model beside the training.

They are recognised by their command line, looked at, and closed only one by one, by number and start time,
when a person agrees. The app of a closed one starts another when it is asked again.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from core.runs.identity import Process, is_alive, process_with

MODULE = ["-m", "core.chat.worker"]


@dataclass(frozen=True, slots=True)
class ChatProcess:
    """One chat worker, and what it holds of the host's memory."""

    process: Process
    rss_bytes: int


def chat_workers(*, on_gpu: bool) -> tuple[ChatProcess, ...]:
    """This person's chat workers: all of them for a run on a GPU, else those of the same app."""
    import psutil

    found = []
    for one in psutil.process_iter(["pid", "ppid", "cmdline", "uids", "memory_info"]):
        command, uids = one.info["cmdline"] or [], one.info["uids"]
        if uids is None or uids.real != os.getuid() or not _is_chat(command):
            continue
        process = process_with(one.info["pid"])
        if process is not None and (on_gpu or one.info["ppid"] == os.getppid()):
            found.append(ChatProcess(process, one.info["memory_info"].rss))
    return tuple(found)


def close(chat: ChatProcess) -> bool:
    """Ask that very process to end; False if it is gone already."""
    if not is_alive(chat.process):
        return False
    os.kill(chat.process.pid, signal.SIGTERM)
    return True


def _is_chat(command: list[str]) -> bool:
    return any(command[index : index + 2] == MODULE for index in range(len(command)))
