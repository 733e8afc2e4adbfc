"""A disk that fills up in the middle, and a target that cannot be written: nothing under a final name, whatever is exported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from core.chat.conversation import load_conversations, save_conversation
from core.chat.subject import Subject
from core.errors import TunedeckError
from core.export.adapter import export_adapter
from core.export.combine import combine
from core.export.gguf import export_gguf
from core.export.ollama import export_ollama

CALLS = {
    "adapter": "export_adapter(subject, out)",
    "combine": "combine([subject, subject], [0.5, 0.5], out)",
    "gguf": "export_gguf(subject, out, out_type='f32')",
    "ollama": "export_ollama(subject, out, out_type='f32')",
}


def test_a_disk_that_fills_up(tiny_model: Path, tiny_adapter: Path, tmp_path: Path) -> None:
    # A limit on the size of any file this process writes acts as a disk that fills up in the middle.
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from core.chat.subject import Subject\n"
        "from core.errors import TunedeckError\n"
        "from core.export.adapter import export_adapter\n"
        "from core.export.combine import combine\n"
        "from core.export.gguf import export_gguf\n"
        "from core.export.ollama import export_ollama\n"
        "model, adapter, out = map(Path, sys.argv[1:])\n"
        "subject = Subject('t', model, adapter=adapter, template_folder=adapter, dtype='float32')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
    )
    for call in CALLS.values():
        code += f"try:\n    {call}\nexcept TunedeckError as error:\n    print(error)\n"
    arguments = [str(tiny_model), str(tiny_adapter), str(tmp_path / "out")]
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert ran.stdout.count("cannot be written") == ran.stdout.count("free space") == len(CALLS)
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_cannot_be_written(tiny_model: Path, tiny_adapter: Path) -> None:
    subject = Subject("t", tiny_model, adapter=tiny_adapter, template_folder=tiny_adapter, dtype="float32")
    nowhere = Path("/proc/nowhere/out")
    for call in (
        lambda: export_adapter(subject, nowhere),
        lambda: combine([subject, subject], [0.5, 0.5], nowhere),
        lambda: export_gguf(subject, nowhere),
        lambda: export_ollama(subject, nowhere),
        lambda: save_conversation(nowhere, [{"role": "user", "content": "x"}]),
    ):
        with pytest.raises(TunedeckError, match="cannot be (written|saved)"):
            call()


def test_a_conversation_that_cannot_be_saved_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "talk.jsonl"
    save_conversation(file, [{"role": "user", "content": "kept"}])
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from core.chat.conversation import save_conversation\n"
        "from core.errors import TunedeckError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60, 60))\n"
        "try:\n"
        "    save_conversation(Path(sys.argv[1]), [{'role': 'user', 'content': 'x' * 500}])\n"
        "except TunedeckError as error:\n"
        "    print(error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code, str(file)], capture_output=True, text=True, check=True
    )
    assert "the conversation cannot be saved" in ran.stdout
    assert [list(found) for found in load_conversations(file)] == [[{"role": "user", "content": "kept"}]]
    assert [path.name for path in tmp_path.iterdir()] == ["talk.jsonl"]
