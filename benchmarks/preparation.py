"""Whole-set preparation beside TRL's own, and beside rendering and encoding alone, in one run.

    python benchmarks/preparation.py [--rows 2000] [--tokenizers qwen2_5,...] [--json FILE]

Takes the real tokenizers and conversations of ../shared/data where they are, the embedded ones otherwise, and
always the one that mistral-common carries (its tekken.json, with a template of this program's own).
Every line compares ids and labels of all rows; a difference fails the run.

"alone" is the least that any preparation has to do, from rows that are already in memory: every conversation
rendered once, one after another, with the template as transformers compiles it, and then all texts encoded at
once by the engine that the preparation used, on all cores. Reading the file, conversion, labels, checks of the
engine and writing are only in "ours". "own" is the same with the template compiled by tunedeck's own sandbox,
which is faster: the stricter ratio, without a bar. Bars: 15x TRL, 1.6x of alone.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import logging
import os
import shutil
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
TOKENIZERS = ("qwen2_5", "qwen3", "mistral_v3", "phi3_mini", "olmo2", "smollm2", "tekken")
REPEATS = 3
TRL_BAR, ALONE_BAR = 15.0, 1.6

# Mistral's turns in a few lines, for the tokenizer that comes without a template.
TEKKEN_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %} {{ m.content }}{{ eos_token }}"
    "{% else %}[INST] {{ m.content }} [/INST]{% endif %}{% endfor %}"
)


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
    own_seconds: float  # the same, rendered in tunedeck's sandbox
    identical: bool

    @property
    def against_trl(self) -> float:
        return self.trl_seconds / self.ours_seconds

    @property
    def against_alone(self) -> float:
        return self.ours_seconds / self.alone_seconds

    @property
    def against_own(self) -> float:
        return self.ours_seconds / self.own_seconds

    @property
    def holds(self) -> bool:
        return self.against_trl >= TRL_BAR and self.against_alone <= ALONE_BAR


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
            for name, tokenizer in _tokenizers(options.tokenizers.split(","), Path(folder))
            for result in _measure(name, tokenizer, _rows(options.rows), Path(folder))
        ]
    _print(results)
    if options.json:
        options.json.write_text(
            json.dumps(
                [
                    {
                        **asdict(item),
                        "against_trl": item.against_trl,
                        "against_alone": item.against_alone,
                        "against_own": item.against_own,
                    }
                    for item in results
                ],
                indent=2,
            )
        )
    if not all(item.identical for item in results):
        sys.exit("ids or labels differ from TRL's")


def _tokenizers(names: list[str], scratch: Path) -> list[tuple[str, Path]]:
    found = [
        (name, SHARED / "tokenizers" / name) for name in names if (SHARED / "tokenizers" / name).is_dir()
    ]
    if not SHARED.is_dir():
        from core.workspace import EMBEDDED_MODEL

        found.append(("embedded", EMBEDDED_MODEL))
    return [*found, *_tekken(scratch)] if "tekken" in names else found


def _tekken(scratch: Path) -> list[tuple[str, Path]]:
    """The tokenizer that mistral-common carries, as a folder that transformers loads."""
    package = importlib.util.find_spec("mistral_common")
    if package is None or package.origin is None:
        return []
    folder = scratch / "tekken"
    folder.mkdir()
    shutil.copy(Path(package.origin).parent / "data" / "tekken_240911.json", folder / "tekken.json")
    config = {
        "tokenizer_class": "TokenizersBackend", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>",
        "chat_template": TEKKEN_TEMPLATE,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return [("tekken", folder)]


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
    from core.data.sandbox import Sandbox
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
        texts, render_seconds = _rendering_alone(rows, tokenizer.hf, _by_transformers(template))
        again, own_seconds = _rendering_alone(rows, tokenizer.hf, Sandbox().from_string(template))
        assert texts == again
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
                own_seconds + encode_seconds,
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


def _by_transformers(template: str) -> Any:
    from transformers.utils.chat_template_utils import _compile_jinja_template

    return _compile_jinja_template(template)


def _rendering_alone(rows: list[dict[str, Any]], hf: Any, compiled: Any) -> tuple[list[str], float]:
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
        f"{'ours s':>9}{'TRL s':>9}{'x TRL':>8}{'alone s':>9}{'of alone':>10}{'of own':>8}  identical  bars"
    )
    for item in results:
        print(
            f"{item.tokenizer:<12}{item.mode:<11}{item.engine:<12}{item.rows:>6}{item.tokens:>10}"
            f"{item.ours_seconds:>9.3f}{item.trl_seconds:>9.2f}{item.against_trl:>8.1f}"
            f"{item.alone_seconds:>9.3f}{item.against_alone:>10.2f}{item.against_own:>8.2f}  {item.identical!s:<9}"
            f"  {'hold' if item.holds else 'FAIL'}"
        )


if __name__ == "__main__":
    main()
