"""Which encoder a preparation uses, and the one that a single row is shown with."""

from __future__ import annotations

from core.data.encode import Encoder, TokenizersEncoder, TransformersEncoder
from core.data.gigatoken_encoder import load_gigatoken
from core.data.tokenizer import Tokenizer

# Loading gigatoken takes about as long as `tokenizers` takes for this much text on two cores.
WORTH_LOADING_CHARACTERS = 1_500_000


def exact_encoder(tokenizer: Tokenizer) -> Encoder:
    """The ids of transformers themselves."""
    return TransformersEncoder(tokenizer) if tokenizer.backend is None else TokenizersEncoder(tokenizer)


def choose_encoder(tokenizer: Tokenizer, sample: list[str], rows: int) -> Encoder:
    """gigatoken where it loads and the set is large enough to win by it, else the exact one.

    `sample` are texts of the set, `rows` is how many rows it has. Whether gigatoken agrees on the sample is
    tried with its first texts, which may be in another thread: it raises Disagreement then.
    """
    characters = sum(map(len, sample)) / max(len(sample), 1) * rows
    if characters >= WORTH_LOADING_CHARACTERS:
        fast = load_gigatoken(tokenizer)
        if fast is not None:
            fast.doubt(sample)
            return fast
    return exact_encoder(tokenizer)
