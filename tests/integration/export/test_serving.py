"""Templates taken apart, Modelfiles, serving lines."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from core.chat.subject import Subject
from core.errors import TunedeckError, UsageError
from core.export.ollama import export_ollama, go_template
from core.export.serving import lora_obstacle, serving
from core.export.turns import Turns, turns_of
from tests.integration.tiny import make_adapter

CHAT = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "Hi {{ there }}"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "Sum?"},
]


def test_every_real_template_that_comes_apart_makes_the_same_prompts(shared_data: Path) -> None:
    taken = []
    for folder in sorted((shared_data / "tokenizers").iterdir()):
        if not (folder / "tokenizer_config.json").is_file():
            continue
        tokenizer = AutoTokenizer.from_pretrained(folder)
        try:
            turns = turns_of(tokenizer)
        except TunedeckError:
            continue
        taken.append(folder.name)
        chat = CHAT if turns.system is not None else CHAT[1:]
        text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        adds_bos = tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id
        assert (tokenizer.bos_token if adds_bos else "") + turns.compose(chat) == text, folder.name
    assert {"qwen2_5", "qwen3", "phi4", "olmo2", "smollm2", "mistral_v3"} <= set(taken)
    assert "granite3" not in taken  # it writes today's date


def test_a_template_that_depends_on_the_place_is_refused(tiny_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = "{% for m in messages %}{{ loop.index }}{{ m.content }}{% endfor %}"
    with pytest.raises(TunedeckError, match="cannot be taken apart(.|\n)*llama-server --jinja"):
        turns_of(tokenizer)


def test_go_template_text() -> None:
    turns = Turns(system=("<s>", "</s>"), user=("<u>{{", "</u>"), assistant=("", "</a>"), opening="<a>")
    assert go_template(turns) == (
        '{{ range .Messages }}{{ if eq .Role "system" }}<s>{{ .Content }}</s>'
        '{{ else if eq .Role "user" }}<u>{{ "{{" }}{{ .Content }}</u>'
        '{{ else if eq .Role "assistant" }}{{ .Content }}</a>{{ end }}{{ end }}<a>'
    )


def test_ollama_folder(tiny_model: Path, tiny_adapter: Path, tmp_path: Path) -> None:
    subject = Subject(
        "run:Best",
        tiny_model,
        adapter=tiny_adapter,
        template_folder=tiny_adapter,
        dtype="float32",
        system="Be short.",
    )
    done = export_ollama(subject, tmp_path / "out", out_type="f32")
    assert sorted(path.name for path in done.folder.iterdir()) == ["Modelfile", "model.gguf"]
    text = (done.folder / "Modelfile").read_text()
    assert text.startswith("FROM ./model.gguf\n")
    assert 'PARAMETER stop "<|im_end|>"\n' in text and 'PARAMETER stop "<|endoftext|>"\n' in text
    assert "PARAMETER temperature 0\n" in text
    assert 'SYSTEM """Be short."""' in text
    assert done.commands[1] == "ollama create run-best -f Modelfile"
    assert done.gguf.checks[0].max_difference < 1e-3


def test_serving_lines(tiny_model: Path, tiny_adapter: Path, tmp_path: Path) -> None:
    subject = Subject("mine", tiny_model, adapter=tiny_adapter)
    vllm, sglang, llama = serving(subject, tmp_path)
    assert vllm.command == (
        f"vllm serve {tiny_model} --enable-lora --lora-modules mine={tiny_adapter} --max-lora-rank 8 "
        f"--chat-template {tiny_adapter}/chat_template.jinja"
    )
    assert sglang.command.startswith("python -m sglang.launch_server --model-path ")
    assert llama.command == "" and "tunedeck export gguf mine" in llama.why_not
    (tmp_path / "mine.f16.gguf").touch()
    assert (
        serving(subject, tmp_path)[2].command
        == f"llama-server -m {tmp_path}/mine.f16.gguf --jinja --port 8080"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"use_dora": True}, "do not take DoRA"), ({"modules_to_save": ["lm_head"]}, "whole modules (lm_head)")],
)
def test_adapters_that_servers_do_not_take(
    tiny_model: Path, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    adapter = make_adapter(tiny_model, tmp_path / "adapter", seed=1, **changes)
    assert words in lora_obstacle(adapter)
    vllm, *_ = serving(Subject("mine", tiny_model, adapter=adapter), tmp_path)
    assert vllm.command == "" and "merge it first: tunedeck merge mine" in vllm.why_not
    (tmp_path / "mine-merged").mkdir()
    assert serving(Subject("mine", tiny_model, adapter=adapter), tmp_path)[0].command == (
        f"vllm serve {tmp_path}/mine-merged --served-model-name mine"
    )


def test_an_adapter_with_other_weights_is_seen(tiny_adapter: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_adapter, tmp_path / "adapter")
    weights = load_file(tiny_adapter / "adapter_model.safetensors")
    weights["base_model.model.model.embed_tokens.weight"] = next(iter(weights.values())).clone()
    save_file(weights, tmp_path / "adapter" / "adapter_model.safetensors")
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["modules_to_save"] is None
    assert "weights beside LoRA" in lora_obstacle(tmp_path / "adapter")


def test_ollama_with_the_adapter_beside_its_base(
    tiny_model: Path, tiny_adapter: Path, tmp_path: Path
) -> None:
    subject = Subject("run", tiny_model, adapter=tiny_adapter, template_folder=tiny_adapter, dtype="float32")
    done = export_ollama(subject, tmp_path / "out", out_type="f32", beside=True)
    lines = (done.folder / "Modelfile").read_text().splitlines()
    assert lines[:2] == ["FROM ./model.gguf", "ADAPTER ./adapter"]
    copied = done.folder / "adapter" / "adapter_model.safetensors"
    assert copied.read_bytes() == (tiny_adapter / "adapter_model.safetensors").read_bytes()
    # The file is the base, not the merged model.
    from gguf import GGUFReader
    from safetensors.torch import load_file

    key = "model.layers.0.mlp.down_proj.weight"
    tensor = next(
        t for t in GGUFReader(done.folder / "model.gguf").tensors if t.name == "blk.0.ffn_down.weight"
    )
    assert (tensor.data == load_file(tiny_model / "model.safetensors")[key].numpy()).all()

    dora = make_adapter(tiny_model, tmp_path / "dora", seed=3, use_dora=True)
    with pytest.raises(UsageError, match="servers do not take DoRA(.|\n)*leave --adapter out"):
        export_ollama(Subject("d", tiny_model, adapter=dora), tmp_path / "x", beside=True)
    with pytest.raises(UsageError, match="there is no adapter here"):
        export_ollama(Subject("d", tiny_model), tmp_path / "x", beside=True)
    assert not (tmp_path / "x").exists()
