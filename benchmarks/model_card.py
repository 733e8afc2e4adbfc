"""How long a model card takes, and the list of a cache with many models.

    python benchmarks/model_card.py [--models 200] [--rounds 5] [--tokenizer FOLDER] [--json FILE]

The 8B model is made in place: the config of Llama 3 8B, headers of four weight files of its true size (the files
are sparse, so they take no disk), a vocabulary of 128,000 entries, and a chat template. A cold reading runs in a
fresh process, a warm one in the same. The cache holds that many small models in the layout of the Hub's cache.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from core.models.architecture_of import read_architecture
from core.models.card import read_card
from core.models.listing import local_models
from core.models.sources import locate
from core.workspace import Workspace, write_json_atomically

LLAMA_3_8B = {
    "model_type": "llama", "vocab_size": 128256, "hidden_size": 4096, "intermediate_size": 14336,
    "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "tie_word_embeddings": False,
    "max_position_embeddings": 8192, "torch_dtype": "bfloat16",
}  # fmt: skip
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
)
SHARDS = 4


def make_8b(folder: Path, tokenizer: Path | None) -> Path:
    """The small files of an 8B model, and weight files whose headers are true and whose data are holes."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(LLAMA_3_8B))
    architecture = read_architecture(LLAMA_3_8B)
    tensors: list[tuple[str, list[int]]] = [
        (f"{one.name}.weight", [one.outputs, one.inputs]) for one in architecture.linears
    ]
    for module in architecture.modules:
        tensors.append((f"{module.name}.weight", list(module.embedding or [module.parameters])))
    index: dict[str, str] = {}
    for number in range(SHARDS):
        name = f"model-{number + 1:05}-of-{SHARDS:05}.safetensors"
        header, offset = {}, 0
        for key, shape in tensors[number::SHARDS]:
            size = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
            header[key] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
            offset += size
            index[key] = name
        text = json.dumps(header).encode()
        with (folder / name).open("wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.truncate(8 + len(text) + offset)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    (folder / "README.md").write_text("---\nlicense: llama3\n---\n")
    if tokenizer is not None:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (folder / name).write_bytes((tokenizer / name).read_bytes())
        return folder
    pieces = {f"piece{number}": number for number in range(128_000)}
    merges = [f"p{number} q{number}" for number in range(127_000)]
    special = [
        {"id": 128_000 + number, "content": f"<|special_{number}|>", "special": True} for number in range(256)
    ]
    model = {"type": "BPE", "vocab": pieces, "merges": merges}
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": special, "model": model}))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"bos_token": "<|special_0|>", "eos_token": "<|special_9|>"})
    )
    return folder


def make_cache(folder: Path, count: int) -> None:
    """Models in the layout of the Hub's cache."""
    config = json.dumps({**LLAMA_3_8B, "num_hidden_layers": 1}).encode()
    for number in range(count):
        repository = folder / f"models--maker--model-{number}"
        snapshot = repository / "snapshots" / f"{number:040x}"
        snapshot.mkdir(parents=True)
        (repository / "blobs").mkdir()
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text(snapshot.name)
        for name, data in {
            "config.json": config,
            "tokenizer.json": b"{}",
            "README.md": b"x",
            "model.safetensors": b"x",
        }.items():
            blob = repository / "blobs" / f"{number:020x}{name.encode().hex()[:20]}"
            blob.write_bytes(data)
            (snapshot / name).symlink_to(os.path.relpath(blob, snapshot))


def seconds(rounds: int, work: Any) -> list[float]:
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokenizer", type=Path, help="a real tokenizer's folder in place of the made one")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        folder = make_8b(place / "llama-3-8b", options.tokenizer)
        cache = place / "hub"
        make_cache(cache, options.models)
        command = [sys.executable, "-P", "-m", "tui.cli", "models", "show", str(folder), "--json"]
        shape = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        listing = (
            "import time; from pathlib import Path; from core.models.listing import local_models; "
            "from core.workspace import Workspace; began = time.perf_counter(); "
            f"found = local_models(Workspace(Path({str(place / 'none')!r}))); "
            "print(len(found), time.perf_counter() - began)"
        )
        environment = {**os.environ, "HF_HUB_CACHE": str(cache)}
        colds = []
        for _ in range(options.rounds):
            ran = subprocess.run(
                [sys.executable, "-P", "-c", listing],
                capture_output=True,
                text=True,
                check=True,
                env=environment,
            )
            count, taken = ran.stdout.split()
            colds.append(float(taken))
        from huggingface_hub import constants

        constants.HF_HUB_CACHE = str(cache)
        config = json.loads((folder / "config.json").read_text())
        results = {
            "parameters": shape["parameters"]["total"],
            "tokenizer_bytes": (folder / "tokenizer.json").stat().st_size,
            "architecture from config": seconds(options.rounds * 20, lambda: read_architecture(config)),
            "card of the 8B model, same process": seconds(
                options.rounds, lambda: read_card(locate(str(folder)))
            ),
            "models show, fresh process": seconds(
                options.rounds, lambda: subprocess.run(command, capture_output=True, check=True)
            ),
            f"list of {options.models} cached models, fresh process": colds,
            f"list of {options.models} cached models, same process": seconds(
                options.rounds, lambda: local_models(Workspace(place / "none"))
            ),
        }
        print(f"8B model: {results['parameters']:,} parameters, tokenizer.json {results['tokenizer_bytes'] / 1e6:.1f} MB; "
              f"list: {count} entries")  # fmt: skip
        for name, values in results.items():
            if isinstance(values, list):
                print(
                    f"{name:<48} {1000 * statistics.median(values):9.1f} ms  (worst {1000 * max(values):.1f})"
                )
        if options.json:
            write_json_atomically(options.json, results)


if __name__ == "__main__":
    main()
