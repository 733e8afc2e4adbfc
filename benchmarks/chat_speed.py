"""Speed of the chat against bare `generate` on the same model, in one process, round by round.

    python benchmarks/chat_speed.py                        the demo model and a random one of 30 M parameters
    python benchmarks/chat_speed.py --model FOLDER         a model of yours
    python benchmarks/chat_speed.py --json results.json

Bars: tokens per second >= 0.97x, first token <= 1.1x of bare generate. The two run one after the other in every round, in turns
first, and each round gives its own ratio; the median of the ratios is what counts, so that a machine that does other work
slows both sides of a ratio alike. The chat sends every piece through a real pipe that another process reads, as the app
does. The same ratio of CPU time stands beside that of the clock and is read in the same way: it tells what the chat costs even on
a busy machine.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from core.chat.load import LoadedModel, load
from core.chat.messages import Ask, Piece
from core.chat.sampling import Sampling
from core.chat.speaker import Speaker
from core.chat.subject import Subject
from core.models.sources import locate
from core.workspace import write_json_atomically

LEAST_SPEED, MOST_FIRST = 0.97, 1.1
PROMPT = "Say the sentence: The old painter watches the clever owl in the castle."


@dataclass(frozen=True)
class Timing:
    """One answer: seconds and CPU seconds to the first token and of all tokens after it."""

    first_seconds: float
    rest_seconds: float
    first_cpu_seconds: float
    rest_cpu_seconds: float


class FirstToken:
    """Notes when `generate` gives its first token; what a plain script would use."""

    def __init__(self) -> None:
        self.calls, self.at, self.cpu = 0, 0.0, 0.0

    def put(self, _value: Any) -> None:
        self.calls += 1
        if self.calls == 2:
            self.at, self.cpu = time.perf_counter(), time.process_time()

    def end(self) -> None: ...


def bare(loaded: LoadedModel, ids: list[int], tokens: int) -> Timing:
    """Plain `generate` with a streamer that only notes the first token."""
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
    ended, cpu_ended = time.perf_counter(), time.process_time()
    return Timing(first.at - began, ended - first.at, first.cpu - cpu, cpu_ended - first.cpu)


def chat(loaded: LoadedModel, text: str, tokens: int, send: Any) -> Timing:
    """The same answer by the chat. A fresh speaker each time: no kept cache helps it.

    Its CPU time counts everything, the rendering of the prompt as well.
    """
    first_cpu = 0.0

    def noting(message: Any) -> None:
        nonlocal first_cpu
        if isinstance(message, Piece) and not first_cpu:
            first_cpu = time.process_time()
        send(message)

    speaker = Speaker(loaded, lambda: False)
    ask = Ask(1, "", text=text, sampling=Sampling(temperature=0.0, max_tokens=tokens))
    cpu = time.process_time()
    answer = speaker.answer(ask, noting)
    ended = time.process_time()
    assert len(answer.ids) == tokens
    return Timing(
        answer.first_token_seconds,
        answer.seconds - answer.first_token_seconds,
        first_cpu - cpu,
        ended - first_cpu,
    )


def measure(name: str, subject: Subject, tokens: int, rounds: int) -> dict[str, Any]:
    """Median ratios over rounds in which both answer, after one round that does not count."""
    loaded = load(subject)
    loaded.stop_ids = ()
    loaded.plain_model.generation_config.eos_token_id = None
    ids = loaded.tokenizer.encode(PROMPT)
    ours, theirs = multiprocessing.Pipe()
    reader = multiprocessing.get_context("spawn").Process(target=_drain, args=(theirs,), daemon=True)
    reader.start()
    theirs.close()
    pairs: list[tuple[Timing, Timing]] = []
    for number in range(rounds + 1):
        found: dict[str, Timing] = {}
        gc.collect()
        for who in ("bare", "chat") if number % 2 else ("chat", "bare"):
            found[who] = (
                bare(loaded, ids, tokens) if who == "bare" else chat(loaded, PROMPT, tokens, ours.send)
            )
        if number:
            pairs.append((found["bare"], found["chat"]))
    ours.close()
    reader.join()
    after_first = tokens - 1
    return {
        "model": name,
        "device": loaded.device,
        "threads": torch.get_num_threads(),
        "tokens": tokens,
        "rounds": rounds,
        "bare_first_seconds": statistics.median(one.first_seconds for one, _ in pairs),
        "chat_first_seconds": statistics.median(other.first_seconds for _, other in pairs),
        "bare_tokens_per_second": statistics.median(after_first / one.rest_seconds for one, _ in pairs),
        "chat_tokens_per_second": statistics.median(after_first / other.rest_seconds for _, other in pairs),
        "first_ratio": _ratio(pairs, lambda one: one.first_seconds),
        "speed_ratio": 1 / _ratio(pairs, lambda one: one.rest_seconds),
        "first_cpu_ratio": _ratio(pairs, lambda one: one.first_cpu_seconds),
        "speed_cpu_ratio": 1 / _ratio(pairs, lambda one: one.rest_cpu_seconds),
    }


def _ratio(pairs: list[tuple[Timing, Timing]], value: Callable[[Timing], float]) -> float:
    """Median over the rounds of chat's value to bare's."""
    return statistics.median(value(other) / value(one) for one, other in pairs)


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
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=15)
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
    print(f"{'model':<14}{'first token':>28}{'CPU':>8}{'tokens/s':>26}{'CPU':>8}   bars")
    for result in results:
        holds = result["speed_ratio"] >= LEAST_SPEED and result["first_ratio"] <= MOST_FIRST
        print(
            f"{result['model'][-14:]:<14}"
            f"{1000 * result['chat_first_seconds']:>10.1f} / {1000 * result['bare_first_seconds']:.1f} ms = {result['first_ratio']:.3f}x"
            f"{result['first_cpu_ratio']:>7.3f}x"
            f"{result['chat_tokens_per_second']:>11.0f} / {result['bare_tokens_per_second']:.0f} = {result['speed_ratio']:.3f}x"
            f"{result['speed_cpu_ratio']:>7.3f}x   {'hold' if holds else 'missed'}"
        )
    if arguments.json:
        write_json_atomically(arguments.json, results)


if __name__ == "__main__":
    main()
