"""Speed of the chat against bare `generate` on the same model, in one process, round by round.

    python benchmarks/chat_speed.py                        the demo model and a random one of 30 M parameters
    python benchmarks/chat_speed.py --model FOLDER         a model of yours
    python benchmarks/chat_speed.py --json results.json

Bars: tokens per second >= 0.97x, first token <= 1.1x of bare generate (medians of the rounds). The chat sends every
piece through a real pipe that another process reads, as the app does. On a machine that does other work as well, the ratio of
CPU time tells more than that of the clock.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from core.chat.load import LoadedModel, load
from core.chat.messages import Ask
from core.chat.sampling import Sampling
from core.chat.speaker import Speaker
from core.chat.subject import Subject
from core.models.sources import locate
from core.workspace import write_json_atomically

PROMPT = "Say the sentence: The old painter watches the clever owl in the castle."


class FirstToken:
    """Notes when `generate` gives its first token; what a plain script would use."""

    def __init__(self) -> None:
        self.calls, self.at = 0, 0.0

    def put(self, _value: Any) -> None:
        self.calls += 1
        if self.calls == 2:
            self.at = time.perf_counter()

    def end(self) -> None: ...


def bare(loaded: LoadedModel, ids: list[int], tokens: int) -> tuple[float, float, float]:
    """(seconds to the first token, tokens per second after it, CPU seconds of it all) of plain `generate`."""
    tensor = torch.tensor([ids], device=loaded.model.device)
    first = FirstToken()
    cpu, began = time.process_time(), time.perf_counter()
    loaded.model.generate(
        input_ids=tensor,
        attention_mask=torch.ones_like(tensor),
        do_sample=False,
        max_new_tokens=tokens,
        streamer=first,
    )
    ended = time.perf_counter()
    return first.at - began, (tokens - 1) / (ended - first.at), time.process_time() - cpu


def chat(loaded: LoadedModel, text: str, tokens: int, send: Any) -> tuple[float, float, float]:
    """The same figures of the chat. A fresh speaker each time: no kept cache helps it."""
    speaker = Speaker(loaded, lambda: False)
    ask = Ask(1, "", text=text, sampling=Sampling(temperature=0.0, max_tokens=tokens))
    cpu = time.process_time()
    answer = speaker.answer(ask, send)
    cpu = time.process_time() - cpu
    assert len(answer.ids) == tokens
    return answer.first_token_seconds, (tokens - 1) / (answer.seconds - answer.first_token_seconds), cpu


def measure(name: str, subject: Subject, tokens: int, rounds: int) -> dict[str, Any]:
    """Medians of both over alternating rounds, after one of each that does not count."""
    loaded = load(subject)
    loaded.stop_ids = ()
    loaded.plain_model.generation_config.eos_token_id = None
    ids = loaded.tokenizer.encode(PROMPT)
    ours, theirs = multiprocessing.Pipe()
    reader = multiprocessing.get_context("spawn").Process(target=_drain, args=(theirs,), daemon=True)
    reader.start()
    theirs.close()
    figures: dict[str, list[tuple[float, float, float]]] = {"bare": [], "chat": []}
    for number in range(rounds + 1):
        for who in ("bare", "chat") if number % 2 else ("chat", "bare"):
            value = bare(loaded, ids, tokens) if who == "bare" else chat(loaded, PROMPT, tokens, ours.send)
            if number:
                figures[who].append(value)
    ours.close()
    reader.join()
    medians = {
        who: tuple(statistics.median(column) for column in zip(*values, strict=True))
        for who, values in figures.items()
    }
    return {
        "model": name,
        "device": loaded.device,
        "tokens": tokens,
        "rounds": rounds,
        "bare_first_seconds": medians["bare"][0],
        "chat_first_seconds": medians["chat"][0],
        "bare_tokens_per_second": medians["bare"][1],
        "chat_tokens_per_second": medians["chat"][1],
        "bare_cpu_seconds": medians["bare"][2],
        "chat_cpu_seconds": medians["chat"][2],
        "cpu_ratio": medians["chat"][2] / medians["bare"][2],
        "first_ratio": medians["chat"][0] / medians["bare"][0],
        "speed_ratio": medians["chat"][1] / medians["bare"][1],
    }


def random_model(folder: Path, demo: Path) -> Path:
    """A random Llama of 30 million parameters with the demo's tokenizer: steps of a few milliseconds."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(demo)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=512,
        intermediate_size=1536,
        num_hidden_layers=9,
        num_attention_heads=8,
        num_key_value_heads=4,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _drain(pipe: Any) -> None:
    """Read until the other side closes, as the app's process does."""
    with contextlib.suppress(EOFError):
        while True:
            pipe.recv()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="a folder, instead of the two that come with this")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        demo = locate("demo").folder
        plain = Subject("demo", demo, dtype="float32")
        subjects = {
            "demo": plain,
            "random 30M": replace(plain, model_folder=random_model(Path(folder), demo)),
        }
        if arguments.model:
            subjects = {arguments.model: Subject(arguments.model, Path(arguments.model))}
        results = [measure(name, s, arguments.tokens, arguments.rounds) for name, s in subjects.items()]
    print(f"{'model':<14}{'first token':>26}{'tokens/s':>26}{'CPU time':>12}")
    for result in results:
        print(
            f"{result['model'][-14:]:<14}"
            f"{1000 * result['chat_first_seconds']:>9.1f} / {1000 * result['bare_first_seconds']:.1f} ms = {result['first_ratio']:.2f}x"
            f"{result['chat_tokens_per_second']:>11.0f} / {result['bare_tokens_per_second']:.0f} = {result['speed_ratio']:.3f}x"
            f"{result['cpu_ratio']:>11.3f}x"
        )
    if arguments.json:
        write_json_atomically(arguments.json, results)


if __name__ == "__main__":
    main()
