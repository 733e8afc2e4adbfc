"""The phases of a training step, each a list of figures; the plan's peak is the largest."""

from __future__ import annotations

from dataclasses import dataclass

from core.memory.activations import TRACED
from core.memory.figure import Figure, figure, total
from core.memory.kv_cache import growth, kv_cache
from core.memory.loss import TILE_TOKENS, TILE_WIDTH, loss_figures
from core.memory.optimizer import gradient_figure, optimizer_named, state_figure, step_figure
from core.memory.setting import Setting
from core.memory.sharding import buckets, gathered, gathered_layer, shard, upcast
from core.memory.weights import weight_figures
from core.memory.working import cached_casts, kept_activations, last_checkpoint, working_set
from core.models.architecture import Architecture

CUBLAS_WORKSPACE = (2 * 4096 + 8 * 16) << 10
HOPPER_WORKSPACE = 32 << 20
HOPPER = ("H100", "H200", "H800", "H20", "GH200")
PHASES = ("load", "loss", "block", "end_bwd", "step", "eval")


@dataclass(frozen=True, slots=True)
class Phase:
    """One moment of the step: what it is called, what happens there, and every figure that counts."""

    name: str
    what: str
    figures: tuple[Figure, ...]

    @property
    def bytes(self) -> int:
        return total(self.figures)


WORDS = {
    "load": "weights arrive, one tensor at a time",
    "loss": "head and loss, all checkpoints alive",
    "block": "one block recomputed and differentiated, all checkpoints alive",
    "end_bwd": "end of the backward pass, all gradients alive",
    "step": "optimizer step",
    "eval": "forward of an evaluation batch",
}


def static_figures(setting: Setting, architecture: Architecture) -> list[Figure]:
    """What stays between steps: weights, quantisation state, adapter, optimizer states."""
    weights = [_sharded_weight(setting, item) for item in weight_figures(setting, architecture)]
    states = state_figure(setting, architecture)
    if optimizer_named(setting.optimizer).paged:
        states = Figure(
            states.category,
            0,
            f"paged: {states.formula}, in managed memory outside the allocator",
            states.source,
        )
    return [*weights, _shared(states, shard(setting, "optimizer"), upcast(setting)), *_workspace(setting)]


def _workspace(setting: Setting) -> list[Figure]:
    """cuBLAS holds one workspace per stream and handle: one for the forward thread, one for autograd's."""
    if setting.device == "cpu":
        return []
    hopper = any(name in setting.card for name in HOPPER)
    each = HOPPER_WORKSPACE if hopper else CUBLAS_WORKSPACE
    return [
        figure(
            "cuBLAS workspace",
            2 * each,
            f"2 handles x {each / (1 << 20):g} MiB" + (" (Hopper)" if hopper else " (32 MiB on Hopper)"),
            "torch: CUBLAS_WORKSPACE_CONFIG :4096:2:16:8; steady readings of published runs",
        )
    ]


def phases_of(setting: Setting, architecture: Architecture) -> tuple[Phase, ...]:
    """Every phase with its figures."""
    static = static_figures(setting, architecture)
    gradients = _shared(gradient_figure(setting), shard(setting, "gradients"), upcast(setting))
    alive = [gradients] if setting.gradients_survive else []
    talk = buckets(setting, gradients.bytes, architecture)
    kept = kept_activations(setting, architecture)
    root = gathered(setting, architecture)
    working = working_set(setting, architecture)
    layer = gathered_layer(setting, architecture)
    head = [] if alive else _head_gradient(setting, architecture)
    found = {
        "load": _load(setting, architecture),
        "loss": [*static, *alive, *talk, *root, *kept, *_head_and_loss(setting, architecture)],
        "block": [*static, *alive, *talk, *root, *layer, *head, *kept, *working],
        "end_bwd": [
            *static,
            *talk,
            *root,
            *layer,
            *_end_of_backward(setting, architecture, gradients, working),
        ],
        "step": [
            *static,
            gradients,
            *talk,
            _shared(step_figure(setting), shard(setting, "optimizer"), upcast(setting)),
        ],
        "eval": [*static, *alive, *root, *layer, *_evaluation(setting, architecture)],
    }
    return tuple(Phase(name, WORDS[name], tuple(found[name])) for name in PHASES)


def _head_and_loss(setting: Setting, architecture: Architecture) -> list[Figure]:
    """The loss, or the last block's forward with every cached cast of a weight, which are gone after it."""
    loss = loss_figures(setting, architecture)
    casts = cached_casts(setting, architecture)
    if not casts or not setting.checkpointing:  # without checkpoints backward saves the casts
        return loss
    return max(loss, [*casts, _forward_of_a_block(setting, architecture, setting.tokens)], key=total)


def _head_gradient(setting: Setting, architecture: Architecture) -> list[Figure]:
    """The head's gradient is the first of the backward pass, so it is there in every block."""
    if not setting.adapted.head_trains:
        return []
    elements = architecture.vocab_size * architecture.hidden_size
    size = setting.weight if setting.trains_base else setting.saved
    found = figure(
        "gradients",
        elements * size,
        f"head {elements:,} x {size} B",
        "torch: gradients appear from the head down",
    )
    return [_shared(found, shard(setting, "gradients"), upcast(setting))]


def _end_of_backward(
    setting: Setting, architecture: Architecture, gradients: Figure, working: list[Figure]
) -> list[Figure]:
    """The larger of two moments: the first block, before the embedding has its gradient, and the embedding's.

    A tied matrix gets the embedding's gradient beside the head's, before the two are added.
    """
    if not setting.adapted.embedding_trains:
        return [gradients, *last_checkpoint(setting, architecture), *working]
    elements = architecture.parameters.embedding
    size = setting.weight if setting.trains_base else setting.saved
    share = shard(setting, "gradients")
    table = round(elements * size * upcast(setting) / share)
    text = f"{elements:,} x {size} B" + (f" / {share} ranks" if share > 1 else "")
    if setting.gradients_survive:
        # The new gradients of the embedding, two where it is the head too, beside the one they are added to.
        new = 2 if architecture.tied and setting.trains_base else 1
        last = [gradients, Figure("gradients", new * table, f"{new} x embedding {text}, to be added", TRACED)]
        first = [gradients]
    elif architecture.tied and setting.trains_base:
        last = [gradients, Figure("gradients", table, f"tied embedding {text}, beside the head's", TRACED)]
        first = [gradients]
    else:
        last = [gradients]
        first = [
            Figure(
                "gradients",
                gradients.bytes - table,
                f"{gradients.formula} less embedding {text}",
                "torch: the embedding's gradient comes last",
            )
        ]
    first += [*last_checkpoint(setting, architecture), *working]
    return max(first, last, key=total)


def _load(setting: Setting, architecture: Architecture) -> list[Figure]:
    """Weights on the device. Unquantised ones are cast on the host and moved; others arrive in 16 bit first."""
    weights = [
        _shared(item, shard(setting, "weights"), 1.0)
        for item in weight_figures(setting, architecture)
        if item.category != "adapter"
    ]
    if setting.quantization == "none" and setting.device == "cuda":
        return weights
    disk = 4 if architecture.dtype == "float32" else 2
    largest = max((item.parameters for item in architecture.linears), default=0)
    largest = max(largest, architecture.parameters.embedding)
    buffer = figure(
        "load buffer",
        largest * disk,
        f"largest tensor {largest:,} x {disk} B on its way in",
        "transformers loads tensor by tensor",
    )
    return [*weights, buffer]


def _evaluation(setting: Setting, architecture: Architecture) -> list[Figure]:
    """The larger of an evaluation batch and a sample answer."""
    return max(_eval_batch(setting, architecture), _sample_answer(setting, architecture), key=total)


def _sample_answer(setting: Setting, architecture: Architecture) -> list[Figure]:
    if not setting.sample_tokens:
        return []
    tokens, each, expanded = setting.sample_tokens, setting.compute, setting.expanded_cache
    cache = kv_cache(architecture, tokens, element=each, expanded=expanded)
    joined = growth(architecture, tokens, element=each, expanded=expanded)
    return [cache, Figure("KV cache", joined, f"one layer joined anew, {joined:,} B", cache.source)]


def _forward_of_a_block(setting: Setting, architecture: Architecture, tokens: int) -> Figure:
    c, f, h = setting.compute, architecture.intermediate_size, architecture.hidden_size
    return figure(
        "activations",
        tokens * (3 * c * f + 4 * setting.residual * h),
        f"{tokens:,} tokens x (3 x {c} x f {f:,} + 4 x {setting.residual} x h {h:,}) B",
        "forward of one block without saving",
    )


def _eval_batch(setting: Setting, architecture: Architecture) -> list[Figure]:
    """Forward only: nothing is saved, a block's widest tensors and the head's forward remain."""
    tokens, c = setting.eval_tokens, setting.compute
    if not tokens:
        return []
    figures = [_forward_of_a_block(setting, architecture, tokens), *cached_casts(setting, architecture)]
    if setting.loss.kind == "fused head":
        rows = min(tokens, TILE_TOKENS)
        on_cpu = setting.device == "cpu"
        width = min(architecture.vocab_size, TILE_WIDTH) if on_cpu else TILE_WIDTH
        each = c + 13 if on_cpu else c  # without Triton the tile's statistics are made in torch
        figures.append(
            figure(
                "loss",
                rows * width * each,
                f"tile {rows:,} x {width:,} x {each} B",
                "trl/kernels/chunked_logprob.py",
            )
        )
    else:
        figures.append(
            figure(
                "logits",
                tokens * architecture.vocab_size * 10,
                f"{tokens:,} x {architecture.vocab_size:,} logits x 10 B",
                "bf16 logits, fp32 copy and log-softmax",
            )
        )
    return figures


def _sharded_weight(setting: Setting, item: Figure) -> Figure:
    """Scales of quantised weights are no parameters, so no strategy divides them."""
    if item.category == "quantisation state":
        return item
    return _shared(item, shard(setting, "weights"), upcast(setting))


def _shared(item: Figure, ranks: int, factor: float) -> Figure:
    if ranks == 1 and factor == 1.0:
        return item
    text = (
        item.formula
        + (f" x {factor:g} (upcast to fp32)" if factor != 1.0 else "")
        + (f" / {ranks} ranks" if ranks > 1 else "")
    )
    return Figure(item.category, round(item.bytes * factor / ranks), text, item.source)
