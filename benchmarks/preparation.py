"""Whole-set preparation beside TRL's own, and beside rendering and encoding alone, in one run.

    python benchmarks/preparation.py [--rows 2000] [--json FILE]

Takes the real tokenizers and conversations of ../shared/data where they are, the embedded ones otherwise.
Every line compares ids and labels of all rows; a difference fails the run.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
SHARED = ROOT.parent / "shared" / "data"
TOKENIZERS = ("qwen2_5", "qwen3", "mistral_v3", "phi3_mini", "olmo2", "smollm2")
REPEATS = 3


@dataclass(frozen=True)
class Measured:
    tokenizer: str
    mode: str
    engine: str
    rows: int
    tokens: int
    ours_seconds: float
    trl_seconds: float
    alone_seconds: float  # rendering alone plus encoding alone
    identical: bool

    @property
    def against_trl(self) -> float:
        return self.trl_seconds / self.ours_seconds

    @property
    def against_alone(self) -> float:
        return self.ours_seconds / self.alone_seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--tokenizers", default=",".join(TOKENIZERS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = os.environ["HF_DATASETS_CACHE"] = folder
        results = [
            result
            for name, tokenizer in _tokenizers(options.tokenizers.split(","))
            for result in _measure(name, tokenizer, _rows(options.rows), Path(folder))
        ]
    _print(results)
    if options.json:
        options.json.write_text(
            json.dumps(
                [
                    {**asdict(item), "against_trl": item.against_trl, "against_alone": item.against_alone}
                    for item in results
                ],
                indent=2,
            )
        )
    if not all(item.identical for item in results):
        sys.exit("ids or labels differ from TRL's")


def _tokenizers(names: list[str]) -> list[tuple[str, Path]]:
    if SHARED.is_dir():
        return [(name, SHARED / "tokenizers" / name) for name in names]
    from core.workspace import EMBEDDED_MODEL

    return [("embedded", EMBEDDED_MODEL)]


def _rows(count: int) -> list[dict[str, Any]]:
    """Conversations, repeated until there are `count`; each repetition asks in other words."""
    from core.workspace import EMBEDDED_DATA

    chats = SHARED / "datasets" / "messages" / "oasst_en_threads_messages.jsonl"
    source = chats if chats.exists() else EMBEDDED_DATA / "yoda.jsonl"
    found = [json.loads(line)["messages"] for line in source.read_text(encoding="utf-8").splitlines()]
    rows = []
    for number in range(count):
        messages = [dict(message) for message in found[number % len(found)]]
        if number >= len(found):
            messages[0]["content"] = f"{messages[0]['content']} ({number})"
        rows.append({"messages": messages})
    return rows


def _measure(name: str, folder: Path, rows: list[dict[str, Any]], scratch: Path) -> list[Measured]:
    from core.data.encoders import choose_encoder
    from core.data.prepare import prepare
    from core.data.saved import open_saved
    from core.data.tokenizer import load_tokenizer
    from core.recipe import parse_recipe

    tokenizer = load_tokenizer(folder)
    source = scratch / "rows.jsonl"
    source.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    results = []
    for mode in ("all", "assistant"):
        template = _training_template(tokenizer.hf) if mode == "assistant" else tokenizer.hf.chat_template
        if template is None:
            continue
        recipe = parse_recipe(
            f'[data]\nsource = "{source}"\nloss_on = "{mode}"\neval_fraction = 0.0\nmax_length = 2048\n'
            f'template = "{"trl-training" if mode == "assistant" else "model"}"'
        )
        prepared: Any = None

        def ours(recipe: Any = recipe) -> None:
            nonlocal prepared
            prepared = prepare(recipe, folder, scratch / "out", cache=False)

        ours_seconds = _best(ours)
        theirs, trl_seconds = _trl(rows, tokenizer.hf, mode, scratch)
        texts, render_seconds = _rendering_alone(rows, tokenizer.hf, template)
        encoder = choose_encoder(tokenizer, texts[:64], len(texts))
        encode_seconds = _best(lambda: encoder.encode(texts, plain=False, places=False))  # noqa: B023
        saved = [(row["input_ids"], row["labels"]) for row in open_saved(prepared.folder)]
        results.append(
            Measured(
                name,
                mode,
                prepared.engine,
                len(rows),
                prepared.tokens,
                ours_seconds,
                trl_seconds,
                render_seconds + encode_seconds,
                saved == theirs,
            )
        )
        _print(results[-1:])
    return results


def _training_template(hf: Any) -> str | None:
    from trl.chat_template_utils import get_training_chat_template

    try:
        return get_training_chat_template(hf)
    except ValueError:
        return None


def _trl(rows: list[dict[str, Any]], hf: Any, mode: str, scratch: Path) -> tuple[list[Any], float]:
    """SFTTrainer's own preparation of the same rows, already in memory as a Dataset."""
    from datasets import Dataset, disable_progress_bars
    from trl import SFTConfig, SFTTrainer

    disable_progress_bars()
    args = SFTConfig(
        output_dir=str(scratch / "run"),
        assistant_only_loss=mode == "assistant",
        max_length=2048,
        report_to=[],
        use_cpu=True,
        bf16=False,
    )
    trainer = SimpleNamespace(
        _tokenizer=hf,
        chat_template=_training_template(hf) if mode == "assistant" else None,
        completion_only_loss=False,
    )
    dataset = Dataset.from_list(rows)
    with contextlib.redirect_stderr(io.StringIO()):
        started = time.perf_counter()
        prepared = SFTTrainer._prepare_dataset(trainer, dataset, hf, args, False, None, "train")
        seconds = time.perf_counter() - started
    return [(row["input_ids"], row["labels"]) for row in prepared], seconds


def _rendering_alone(rows: list[dict[str, Any]], hf: Any, template: str) -> tuple[list[str], float]:
    from transformers.utils.chat_template_utils import _compile_jinja_template

    compiled = _compile_jinja_template(template)
    special = hf.special_tokens_map
    texts: list[str] = []

    def render() -> None:
        texts[:] = [
            compiled.render(
                messages=row["messages"], tools=None, documents=None, add_generation_prompt=False, **special
            )
            for row in rows
        ]

    return texts, _best(render)


def _best(work: Callable[[], Any]) -> float:
    """Least seconds of a few runs."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def _print(results: list[Measured]) -> None:
    print(
        f"{'tokenizer':<12}{'loss on':<11}{'engine':<12}{'rows':>6}{'tokens':>10}"
        f"{'ours s':>9}{'TRL s':>9}{'x TRL':>8}{'alone s':>9}{'of alone':>10}  identical"
    )
    for item in results:
        print(
            f"{item.tokenizer:<12}{item.mode:<11}{item.engine:<12}{item.rows:>6}{item.tokens:>10}"
            f"{item.ours_seconds:>9.3f}{item.trl_seconds:>9.2f}{item.against_trl:>8.1f}"
            f"{item.alone_seconds:>9.3f}{item.against_alone:>10.2f}  {item.identical}"
        )


if __name__ == "__main__":
    main()
