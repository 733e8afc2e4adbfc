"""Training of the demo's base model from scratch: a small Llama, on conversations made as it goes.

A model this small learns to repeat by copying, not by knowing: the first third of the training is rich in
requests to repeat random tokens, which cannot be answered in any other way.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from core.demo import talk, tokens
from core.demo.grammar import held_out_sentence

Weighted = tuple[list[int], list[float]]  # token ids, and the loss weight of each

PROMPT_WEIGHT = 0.1  # what people say is learnt a little too: it is the same grammar
POOL = 4096  # conversations that are sorted by length together, so that a batch pads little


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast. Batches are counted in tokens, padding included."""

    steps: int = 2000
    batch_tokens: int = 3072
    learning_rate: float = 3e-3
    warmup_steps: int = 100
    seed: int = 7


def new_model(vocabulary: int, *, seed: int) -> Any:
    """An untrained Llama of about 1.7 million parameters."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=160,
            num_hidden_layers=5,
            num_attention_heads=5,
            num_key_value_heads=5,
            intermediate_size=448,
            max_position_embeddings=tokens.CONTEXT,
            tie_word_embeddings=True,
            bos_token_id=tokens.SPECIAL.index(tokens.END_OF_TEXT),
            eos_token_id=tokens.SPECIAL.index(tokens.TURN_END),
            pad_token_id=tokens.SPECIAL.index(tokens.PAD),
        )
    )


def train(model: Any, tokenizer: Any, schedule: Schedule) -> Iterator[dict[str, float]]:
    """Train the model in place; a dictionary of figures every 50 steps."""
    import torch

    rng = Random(schedule.seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=schedule.learning_rate, betas=(0.9, 0.98), weight_decay=0.05, fused=True
    )
    probe = list(_probe(tokenizer))
    started, losses, seen = time.monotonic(), [], 0
    model.train()
    for step, batch in zip(range(schedule.steps), _batches(rng, tokenizer, schedule), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate * _rate(step, schedule)
        loss = _loss(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        seen += batch[0].numel()
        if (step + 1) % 50 == 0:
            yield {
                "step": step + 1,
                "loss": sum(losses) / len(losses),
                "repeats": exact(model, probe),
                "tokens": seen,
                "seconds": time.monotonic() - started,
            }
            losses = []
    model.eval()


def exact(model: Any, rows: list[Weighted]) -> float:
    """Share of rows whose every answer token is the most likely one after the right ones before it.

    That is what greedy generation gives exactly right, at the cost of one forward pass.
    """
    import torch

    model.eval()
    with torch.no_grad():
        ids, weights = _tensors(rows)
        guesses = model(input_ids=ids).logits[:, :-1].argmax(-1)
        right = (guesses == ids[:, 1:]) | (weights[:, 1:] < 1)
    model.train()
    return right.all(1).float().mean().item()


def encode(tokenizer: Any, conversation: list[talk.Message]) -> Weighted:
    """A conversation as the template renders it, with weight 1 on answers and their stop token."""
    ids: list[int] = []
    weights: list[float] = []
    for message in conversation:
        header = tokenizer.encode(f"{tokens.TURN_START}{message['role']}\n", add_special_tokens=False)
        content = tokenizer.encode(f"{message['content']}{tokens.TURN_END}", add_special_tokens=False)
        weight = 1.0 if message["role"] == "assistant" else PROMPT_WEIGHT
        newline = tokenizer.encode("\n", add_special_tokens=False)
        ids += header + content + newline
        weights += [0.0] * len(header) + [weight] * len(content) + [0.0] * len(newline)
    return ids, weights


def _random_copy(rng: Random, tokenizer: Any) -> Weighted:
    """A request to repeat random tokens. Any token but the special ones."""
    content = [rng.randrange(len(tokens.SPECIAL), len(tokenizer)) for _ in range(rng.randint(1, 14))]
    asked, answer = (
        encode(tokenizer, [{"role": role, "content": content}])
        for role, content in (("user", rng.choice(talk.REQUESTS).format("").strip()), ("assistant", ""))
    )
    ids = asked[0][:-2] + content + asked[0][-2:] + answer[0][:-2] + content + answer[0][-2:]
    prompt = len(asked[0]) + len(content) + len(answer[0]) - 2
    return ids, [0.0] * prompt + [1.0] * (len(content) + 1) + [0.0]


def _batches(rng: Random, tokenizer: Any, schedule: Schedule) -> Iterator[Any]:
    """Batches of similar length for ever; the share of random copies falls over the first third."""
    made = 0
    while True:
        random_share = max(0.05, 0.6 * (1 - 3 * made / schedule.steps))
        pool = [
            _random_copy(rng, tokenizer)
            if rng.random() < random_share
            else encode(tokenizer, talk.conversation(rng))
            for _ in range(POOL)
        ]
        pool.sort(key=lambda row: len(row[0]))
        batches: list[list[Weighted]] = []
        batch: list[Weighted] = []
        for row in pool:
            if batch and (len(batch) + 1) * len(row[0]) > schedule.batch_tokens:
                batches.append(batch)
                batch = []
            batch.append(row)
        rng.shuffle(batches)
        made += len(batches)
        yield from map(_tensors, batches)


def _tensors(rows: list[Weighted]) -> tuple[Any, Any]:
    """Rows padded on the right to ids [rows, longest] and weights of the same shape."""
    import torch

    longest = max(len(ids) for ids, _ in rows)
    pad = tokens.SPECIAL.index(tokens.PAD)
    ids = [ids + [pad] * (longest - len(ids)) for ids, _ in rows]
    weights = [weights + [0.0] * (longest - len(weights)) for _, weights in rows]
    return torch.tensor(ids), torch.tensor(weights)


def _loss(model: Any, batch: tuple[Any, Any]) -> Any:
    import torch

    ids, weights = batch
    logits = model(input_ids=ids).logits[:, :-1]
    each = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    weights = weights[:, 1:].flatten()
    return (each * weights).sum() / weights.sum()


def _rate(step: int, schedule: Schedule) -> float:
    """Linear warm-up, then cosine down to a fiftieth."""
    if step < schedule.warmup_steps:
        return (step + 1) / schedule.warmup_steps
    done = (step - schedule.warmup_steps) / max(1, schedule.steps - schedule.warmup_steps)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done))


def _probe(tokenizer: Any) -> Iterator[Weighted]:
    """Requests to repeat a sentence that training never sees."""
    rng = Random(99)
    for _ in range(64):
        yield encode(tokenizer, talk.messages([talk.say(rng, held_out_sentence(rng))]))
