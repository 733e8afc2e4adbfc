"""Bytes of the head and the loss, by the path the installed versions take."""

from __future__ import annotations

import math

from core.memory.figure import Figure, figure
from core.memory.setting import Setting
from core.models.architecture import Architecture

TILE_TOKENS = 4096  # trl/kernels/chunked_logprob.py, TOKEN_CHUNK_SIZE
TILE_WIDTH = 32_768  # its chunk_size: the buffer is this wide even for a small vocabulary
CHUNK = 256  # tokens per chunk of TRL 1.7 to 1.14
FUSED = "trl/kernels/chunked_logprob.py"
LIGER = "Liger-Kernel 0.4 source and its published head benchmark"


def loss_figures(setting: Setting, architecture: Architecture) -> list[Figure]:
    """What the head and the loss hold at their peak, beside checkpoints and static memory."""
    return [_final_norm(setting, architecture), *_head_figures(setting, architecture)]


def _head_figures(setting: Setting, architecture: Architecture) -> list[Figure]:
    vocabulary, h = architecture.vocab_size, architecture.hidden_size
    match setting.loss.kind:
        case "fused head":
            return _fused_head(setting, architecture)
        case "chunked head" | "chunked head, fp32 copy":
            tile = CHUNK * vocabulary * (2 + 4 + 4)
            copy = 4 * vocabulary * h if setting.loss.kind.endswith("copy") else 0
            trains = 2 * copy if setting.adapted.head_trains else 0
            return [
                figure("loss", tile, f"{CHUNK} tokens x {vocabulary:,} x (2 + 4 + 4) B", setting.loss.why),
                figure(
                    "loss",
                    copy + trains,
                    f"fp32 copy of the head {vocabulary:,} x {h:,} x 4 B",
                    setting.loss.why,
                ),
            ]
        case "liger":
            return _liger(setting, architecture)
        case _:
            each = setting.loss.bytes_per_logit
            rest = 4 * h if setting.loss.kind == "fused cross-entropy" else 0
            return [
                figure(
                    "logits",
                    setting.tokens * (vocabulary * each + rest),
                    f"{setting.tokens:,} tokens x {vocabulary:,} logits x {each} B",
                    setting.loss.why,
                )
            ]


def _final_norm(setting: Setting, architecture: Architecture) -> Figure:
    """The last norm and what the backbone keeps outside its layers: 6 h and about 42 B per token."""
    per_token = 6 * architecture.hidden_size + 42
    return figure(
        "activations",
        setting.tokens * per_token,
        f"{setting.tokens:,} tokens x (6 x {architecture.hidden_size:,} + 42) B",
        "last norm: fp32 copy and output; slope of published runs",
    )


def _fused_head(setting: Setting, architecture: Architecture) -> list[Figure]:
    """TRL 1.15 and later: tiles of 4,096 x 32,768 logits, gradients of the hidden states in fp32."""
    c, h, vocabulary = setting.compute, architecture.hidden_size, architecture.vocab_size
    scored = setting.scored_tokens if setting.device == "cuda" else setting.tokens
    rows = min(scored, TILE_TOKENS)
    stream = max(setting.residual, c)
    cast = 0 if stream == 4 else stream  # fp32 hidden states take the fp32 gradient as it is
    # On a host the untouched part of a buffer costs nothing; on a GPU all of it does.
    width = min(vocabulary, TILE_WIDTH)
    held = width if setting.device == "cpu" else TILE_WIDTH
    figures = [
        figure("loss", rows * held * c, f"tile {rows:,} x {held:,} x {c} B", FUSED),
        figure("loss", 28 * scored, f"7 fp32 sums per token x {scored:,}", FUSED),
        figure(
            "loss",
            scored * h * (stream + 4 + cast),
            f"{scored:,} scored tokens x {h:,} x ({stream} hidden + 4 fp32 gradient + {cast} its cast) B",
            FUSED,
        ),
    ]
    if setting.adapted.head_trains:
        size = setting.weight if setting.adapted.base_trainable else setting.saved
        weight = 0 if size == 4 else size
        figures.append(
            figure(
                "loss",
                vocabulary * h * (4 + weight),
                f"head gradient {vocabulary:,} x {h:,} x (4 fp32 + {weight} its cast) B",
                FUSED,
            )
        )
    if setting.casts_weights:
        figures.append(
            figure(
                "loss", TILE_WIDTH * h * c, f"cast slice of the head {TILE_WIDTH:,} x {h:,} x {c} B", FUSED
            )
        )
    if setting.device == "cpu":
        figures.append(
            figure(
                "loss",
                29 * rows * width,
                f"tile maths in torch without Triton: {rows:,} x {width:,} x 29 B",
                FUSED,
            )
        )
    return figures


def _liger(setting: Setting, architecture: Architecture) -> list[Figure]:
    """Liger's fused linear cross-entropy: chunks sized so that chunk x vocabulary is about tokens x hidden."""
    vocabulary, h, tokens = architecture.vocab_size, architecture.hidden_size, setting.tokens
    chunk = 1 << math.ceil(math.log2(math.ceil(tokens / math.ceil(vocabulary / h))))
    figures = [
        figure("loss", 10 * chunk * vocabulary, f"chunk {chunk:,} x {vocabulary:,} x (2 + 4 + 4) B", LIGER),
        figure("loss", 2 * tokens * h, f"gradient of {tokens:,} x {h:,} x 2 B made in the forward", LIGER),
    ]
    if setting.adapted.head_trains:
        figures.append(
            figure("loss", 6 * vocabulary * h, f"head gradient {vocabulary:,} x {h:,} x (2 + 4) B", LIGER)
        )
    return figures
