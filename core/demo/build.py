"""Make everything that is embedded: `python -m core.demo.build [data | tokenizer | model]`.

`data` writes core/demo/data in a second, the same bytes each time. `tokenizer` trains the tokenizer, also
the same bytes. `model` does both and then trains the base model from scratch on the CPU, about ten minutes
on two cores. With no word: all of it.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from core.demo import learn, paths, rows, tokens
from core.workspace import write_atomically

log = logging.getLogger("core.demo.build")


def build_data(folder: Path = paths.DATA) -> None:
    """Write the data files."""
    for name, content in rows.data_files().items():
        write_atomically(folder / name, content)
        log.info("%s: %d rows", name, content.count("\n"))


def build_model(folder: Path = paths.MODEL, schedule: learn.Schedule | None = None) -> None:
    """Train the tokenizer and the base model and write both into `folder`, weights in bfloat16."""
    import torch
    from transformers import GenerationConfig

    schedule = schedule or learn.Schedule()
    tokenizer = tokens.build_tokenizer(folder)
    model = learn.new_model(len(tokenizer), seed=schedule.seed)
    log.info("%d parameters, %d steps", model.num_parameters(), schedule.steps)
    for figures in learn.train(model, tokenizer, schedule):
        log.info("  ".join(f"{name} {value:.4g}" for name, value in figures.items()))
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=False,
        max_new_tokens=128,
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # safetensors writes files that only their owner may read
    log.info("%d bytes in %s", sum(path.stat().st_size for path in folder.iterdir()), folder)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    what = sys.argv[1] if len(sys.argv) > 1 else "all"
    if what not in ("data", "tokenizer", "model", "all"):
        log.error("python -m core.demo.build [data | tokenizer | model]")
        return 2
    if what in ("data", "all"):
        build_data()
    if what == "tokenizer":
        tokens.build_tokenizer(paths.MODEL)
    if what in ("model", "all"):
        build_model()
    return 0


if __name__ == "__main__":
    sys.exit(main())
