"""The demo's tokenizer: byte-level BPE, trained on the demo's own conversations, with a ChatML template."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from core.demo import talk
from core.demo.grammar import known_sentence

VOCABULARY = 1024
CONTEXT = 512  # tokens

END_OF_TEXT = "<|endoftext|>"
PAD = "<|pad|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
SPECIAL = (END_OF_TEXT, PAD, TURN_START, TURN_END)

# ChatML as most models carry it: no generation markers, a system message only at the start.
TEMPLATE = """\
{%- for message in messages %}
    {%- if message.role == 'system' and not loop.first %}
        {{- raise_exception('The system message must be the first message.') }}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""


def build_tokenizer(folder: Path, *, seed: int = 1, conversations: int = 20_000) -> Any:
    """Train the tokenizer, save it with its template into `folder`, and return it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        _texts(Random(seed), conversations),
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=list(SPECIAL),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=END_OF_TEXT,
        eos_token=TURN_END,
        pad_token=PAD,
        extra_special_tokens=[TURN_START],
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        padding_side="right",
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return tokenizer


def _texts(rng: Random, conversations: int) -> list[str]:
    """What the merges are counted on; role names often enough to be one token each.

    Invented words are left out: merges spent on them would be missing for the words of the micro-world.
    """
    texts = ["system\n", "user\n", "assistant\n"] * conversations
    for _ in range(conversations):
        sentence = known_sentence(rng)
        texts += [*talk.say(rng, sentence), sentence.yoda, *talk.small_talk(rng)]
    return texts
