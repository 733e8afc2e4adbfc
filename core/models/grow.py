"""A model with further tokens: a new folder with a longer vocabulary and a row for each new token.

Growth is never a side effect of training. It makes a model folder of its own, which data, plan, training, chat and
export then use like any other.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import TunedeckError, UsageError
from core.workspace import write_json_atomically

if TYPE_CHECKING:
    import torch

RECORD = "grown.json"  # in the new folder: from which model, with which tokens


@dataclass(frozen=True, slots=True)
class Grown:
    """What was made. `rows` are those of the embedding before and after; equal where free rows were enough."""

    folder: str
    tokens: dict[str, int]
    rows_before: int
    rows_after: int
    tied: bool

    @property
    def train(self) -> list[str]:
        """What `tuner.modules_to_save` must hold, so that the new rows are trained on both sides."""
        return ["embed_tokens"] if self.tied else ["embed_tokens", "lm_head"]

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "modules_to_save": self.train}


def grow(folder: Path, tokens: Sequence[str], out: Path, *, dtype: str = "auto") -> Grown:
    """Write the model of `folder` with `tokens` added as special tokens into the new folder `out`.

    Free rows beyond the vocabulary are used before the embedding is made longer. A new row starts as the mean of
    the rows in use, in the embedding and in the head: the model then neither prefers nor avoids the token
    (Hewitt 2021, "Initializing new word embeddings for pretrained language models").
    Raises UsageError for tokens that are there already or none at all, and for a folder that exists.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if out.exists():
        raise UsageError("it exists already", where=str(out), fix="name another folder with --out")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    used = len(tokenizer)
    known = [
        token
        for token in tokens
        if tokenizer.convert_tokens_to_ids(token) in range(used) and token in tokenizer.get_vocab()
    ]
    if not tokens or known or len(set(tokens)) != len(tokens) or not all(token.strip() for token in tokens):
        raise UsageError(
            f"the vocabulary has {', '.join(known)} already" if known else "name new tokens, each once",
            where=str(folder),
        )
    tokenizer.add_tokens(list(tokens), special_tokens=True)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    before = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > before:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    ids = {token: int(tokenizer.convert_tokens_to_ids(token)) for token in tokens}
    tied = bool(model.config.get_text_config(decoder=True).tie_word_embeddings)
    for table in (model.get_input_embeddings(), model.get_output_embeddings()):
        _start_at_the_mean(table.weight, list(ids.values()), used)
    grown = Grown(str(out), ids, before, model.get_input_embeddings().num_embeddings, tied)
    aside = out.with_name(f".{out.name}.partial")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        model.save_pretrained(aside)
        tokenizer.save_pretrained(aside)
        write_json_atomically(aside / RECORD, {**grown.to_json(), "from": str(folder)})
        aside.rename(out)
    except OSError as error:
        raise TunedeckError(f"the model cannot be written: {error.strerror}", where=str(out)) from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return grown


def grow_named(*, named: str, root: Path, tokens: list[str], out: str, progress: Any) -> Grown:
    """`grow` for a model that a person named; a job of the workshop."""
    from core.models.sources import locate
    from core.workspace import Workspace

    model = locate(named, "main", Workspace(root))
    progress(f"adding {len(tokens)} {'token' if len(tokens) == 1 else 'tokens'}")
    return grow(model.folder, tokens, (root / Path(out).expanduser()).absolute())


def _start_at_the_mean(table: torch.Tensor, ids: list[int], used: int) -> None:
    import torch

    with torch.no_grad():
        table[ids] = table[:used].float().mean(dim=0).to(table.dtype)
