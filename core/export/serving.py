"""Command lines that serve a result with vLLM, SGLang or llama.cpp, and what stands in the way of each."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.chat.adapters import adapter_shapes
from core.chat.subject import Subject, read_adapter_config
from core.export.card import base_name


@dataclass(frozen=True, slots=True)
class Serving:
    """One way to serve. `command` is empty where `why_not` says what to do first."""

    server: str
    command: str
    why_not: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def serving(subject: Subject, exports: Path) -> list[Serving]:
    """Ways to serve the subject; `exports` is where its merged folder and GGUF file would lie."""
    name = subject.label.replace(":", "-")
    merged = exports / f"{name}-merged"
    gguf = next(iter(sorted(exports.glob("*.gguf"))), None)
    llama = (
        Serving("llama-server", shlex.join(["llama-server", "-m", str(gguf), "--jinja", "--port", "8080"]))
        if gguf
        else Serving("llama-server", "", f"write a file first: tunedeck export gguf {subject.label}")
    )
    if subject.adapter is None:
        folder = str(subject.model_folder)
        return [*_whole(folder, name), llama]
    obstacle = lora_obstacle(subject.adapter)
    if obstacle and merged.is_dir():
        return [*_whole(str(merged), name), llama]
    if obstacle:
        why = f"{obstacle}; merge it first: tunedeck merge {subject.label}"
        return [Serving("vLLM", "", why), Serving("SGLang", "", why), llama]
    base = base_name(subject)
    base = str(subject.model_folder) if base == "demo" or not subject.run else base
    rank = int(read_adapter_config(subject.adapter).get("r", 16))
    vllm = ["vllm", "serve", base, "--enable-lora", "--lora-modules", f"{name}={subject.adapter}"]
    vllm += [
        "--max-lora-rank",
        str(next((size for size in (8, 16, 32, 64, 128, 256, 320, 512) if size >= rank), rank)),
    ]
    template = subject.adapter / "chat_template.jinja"
    if template.is_file():
        vllm += ["--chat-template", str(template)]
    sglang = [
        "python",
        "-m",
        "sglang.launch_server",
        "--model-path",
        base,
        "--lora-paths",
        f"{name}={subject.adapter}",
    ]
    return [Serving("vLLM", shlex.join(vllm)), Serving("SGLang", shlex.join(sglang)), llama]


def lora_obstacle(adapter: Path) -> str:
    """Why servers and GGUF cannot take this adapter as plain LoRA; empty if they can."""
    config = read_adapter_config(adapter)
    if str(config.get("peft_type", "")).upper() != "LORA":
        return f"servers take LoRA, not {config.get('peft_type')}"
    if config.get("use_dora"):
        return "servers do not take DoRA"
    saved = config.get("modules_to_save")
    if saved:
        return f"it carries whole modules ({', '.join(saved)})"
    others = [key for key in adapter_shapes(adapter) if ".lora_" not in key]
    return f"it carries weights beside LoRA ({others[0]})" if others else ""


def _whole(folder: str, name: str) -> list[Serving]:
    return [
        Serving("vLLM", shlex.join(["vllm", "serve", folder, "--served-model-name", name])),
        Serving(
            "SGLang",
            shlex.join(
                ["python", "-m", "sglang.launch_server", "--model-path", folder, "--served-model-name", name]
            ),
        ),
    ]
