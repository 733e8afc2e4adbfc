"""The probabilities behind an answer, from one pass over prompt and answer."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from core.chat.load import LoadedModel
from core.chat.messages import Inspect, Inspection, TokenChance
from core.chat.voices import speaking_as
from core.data.token_bytes import TokenBytes
from core.data.tokenizer import wrapped

POSITIONS_AT_ONCE = 64  # a large vocabulary times a long answer would not fit


def inspection(loaded: LoadedModel, request: Inspect) -> Inspection:
    """Probability, rank and top alternatives of every token of an answer, without sampling or penalties."""
    import torch

    tokenizer = loaded.tokenizer
    data = token_bytes(tokenizer)
    prompt, answer = list(request.prompt_ids), list(request.ids)
    ids = torch.tensor([prompt + answer], device=loaded.model.device)
    chances: list[TokenChance] = []
    with torch.inference_mode(), speaking_as(loaded, request.who):
        # One more position than the answer: the logits before its first token predict that token.
        logits = loaded.model(input_ids=ids, logits_to_keep=len(answer) + 1).logits[0, -len(answer) - 1 : -1]
        for start in range(0, len(answer), POSITIONS_AT_ONCE):
            chunk = logits[start : start + POSITIONS_AT_ONCE].float().log_softmax(-1)
            values, indices = chunk.topk(min(request.alternatives, chunk.shape[-1]))
            for row in range(len(chunk)):
                id = answer[start + row]
                own = chunk[row, id]
                alternatives = zip(indices[row].tolist(), values[row].exp().tolist(), strict=True)
                chances.append(
                    TokenChance(
                        id=id,
                        data=data.of(id),
                        probability=float(own.exp()),
                        rank=int((chunk[row] > own).sum()),
                        alternatives=tuple((other, data.of(other), p) for other, p in alternatives),
                    )
                )
    marked = {id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
    special = (marked | set(tokenizer.all_special_ids)) & set(prompt + answer)
    asked = tuple((id, data.of(id)) for id in prompt)
    return Inspection(request.number, asked, tuple(chances), tuple(sorted(special)))


@lru_cache(maxsize=1)
def token_bytes(tokenizer: Any) -> TokenBytes:
    """The bytes of each token, also of one that is only a part of a character."""
    return TokenBytes(wrapped(tokenizer, Path(tokenizer.name_or_path)))
