"""The phases of a training step, each a list of figures; the plan's peak is the largest."""

from __future__ import annotations

from dataclasses import dataclass

from core.memory.activations import TRACED, saved_parts, saved_per_token, weight_casts
from core.memory.block import blocks_of, place_of
from core.memory.figure import Figure, figure, total
from core.memory.loss import loss_figures
from core.memory.optimizer import gradient_figure, optimizer_named, state_figure, step_figure
from core.memory.setting import Setting
from core.memory.sharding import buckets, gathered, gathered_layer, shard, upcast
from core.memory.weights import weight_figures
from core.models.architecture import Architecture

CUBLAS_WORKSPACE = (2 * 4096 + 8 * 16) << 10
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
    return [
        figure(
            "cuBLAS workspace",
            2 * CUBLAS_WORKSPACE,
            "2 handles x 8.125 MiB (32 MiB on Hopper)",
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
        "loss": [*static, *alive, *talk, *root, *kept, *loss_figures(setting, architecture)],
        "block": [*static, *alive, *talk, *root, *layer, *head, *kept, *working],
        "end_bwd": [
            *static,
            gradients,
            *talk,
            *root,
            *layer,
            *_last_checkpoint(setting, architecture),
            *working,
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


def kept_activations(setting: Setting, architecture: Architecture) -> list[Figure]:
    """What the forward pass of all layers leaves for the backward pass."""
    tokens, layers = setting.tokens, architecture.layers
    if setting.checkpointing:
        per_token = setting.residual * architecture.hidden_size * layers
        return [
            figure(
                "checkpoints",
                tokens * per_token,
                f"{tokens:,} tokens x {layers} layers x h {architecture.hidden_size:,} x {setting.residual} B",
                "residual stream at each layer's entry",
            )
        ]
    blocks = blocks_of(architecture)
    counts: dict[int, tuple[int, int]] = {}
    for number, block in enumerate(blocks):
        first, count = counts.get(id(block), (number, 0))
        counts[id(block)] = (first, count + 1)
    figures = []
    for first, count in counts.values():
        for part in saved_parts(setting, architecture, first):
            figures.append(
                figure(
                    part.category,
                    tokens * part.per_token * count,
                    f"{tokens:,} tokens x {count} layers x ({part.words})",
                    TRACED,
                )
            )
        casts = weight_casts(setting, architecture, first)
        if casts:
            figures.append(
                figure(
                    "weight casts",
                    casts * count,
                    f"16-bit copies of the linears of {count} layers, {casts:,} B each",
                    TRACED,
                )
            )
    return figures


def working_set(setting: Setting, architecture: Architecture) -> list[Figure]:
    """One block while it is differentiated: what it saves (recomputed), and what its backward needs on top."""
    tokens, h = setting.tokens, architecture.hidden_size
    largest = max(
        range(architecture.layers), key=lambda layer: saved_per_token(setting, architecture, layer), default=0
    )
    figures = []
    if setting.checkpointing and architecture.layers:
        figures += [
            figure(part.category, tokens * part.per_token, f"{tokens:,} tokens x ({part.words})", TRACED)
            for part in saved_parts(setting, architecture, largest)
        ]
        casts = weight_casts(setting, architecture, largest)
        if casts:
            figures.append(
                figure("weight casts", casts, f"16-bit copies of one block's linears, {casts:,} B", TRACED)
            )
    else:
        figures.append(
            figure(
                "activations",
                tokens * (6 * h + 12),
                f"last norm {tokens:,} tokens x (6 x {h:,} + 12) B",
                TRACED,
            )
        )
    f_bytes, h_bytes = transient(setting)
    f = _mlp_width(architecture)
    figures.append(
        figure(
            "block working set",
            tokens * (f_bytes * f + h_bytes * h),
            f"{tokens:,} tokens x ({f_bytes:g} x f {f:,} + {h_bytes:g} x h {h:,}) B",
            TRACED,
        )
    )
    largest_linear = max(
        (item.inputs * item.outputs for item in architecture.linears if item.name != architecture.head),
        default=0,
    )
    if setting.trains_base:
        figures.append(
            figure(
                "block working set",
                setting.compute * largest_linear,
                f"one weight gradient {largest_linear:,} x {setting.compute} B",
                TRACED,
            )
        )
    if setting.quantization in ("nf4", "fp4"):
        figures.append(
            figure(
                "dequantisation",
                setting.compute * largest_linear,
                f"one linear of {largest_linear:,} in {setting.compute} B",
                "bitsandbytes: training dequantises the whole weight, one at a time",
            )
        )
    if setting.adapted.method == "dora":
        figures.append(
            figure(
                "block working set",
                3 * setting.adapter * largest_linear,
                f"DoRA: B A, W + s B A and its square for the norm, 3 x {largest_linear:,} x {setting.adapter} B",
                "PEFT tuners/lora/dora.py",
            )
        )
    if setting.strategy == "fsdp" and setting.ranks > 1 and not setting.trains_base:
        extra = 2 * h * max(architecture.layers - 2, 0)
        figures.append(
            figure(
                "activations",
                tokens * extra,
                f"FSDP with frozen weights: {tokens:,} tokens x (L - 2) x 2 x h",
                "slope of published FSDP LoRA runs; cause not established",
            )
        )
    return figures


def transient(setting: Setting) -> tuple[float, float]:
    """Bytes per token of gradients alive at the worst moment of a block's backward, per unit of f and of h."""
    c = setting.compute
    if setting.trains_base or setting.adapter <= c or not _adapts_mlp(setting):
        return 2 * c, 2 * c
    if not setting.autocast:
        return 4, 14
    if not setting.casts_weights:
        return 6, 12
    return 6, 14


def _adapts_mlp(setting: Setting) -> bool:
    return any(place_of(linear).startswith("mlp") for linear in setting.adapted.linears)


def _mlp_width(architecture: Architecture) -> int:
    return architecture.intermediate_size


def _head_gradient(setting: Setting, architecture: Architecture) -> list[Figure]:
    """The head's gradient is the first of the backward pass, so it is there in every block."""
    if not setting.adapted.head_trains:
        return []
    elements = architecture.vocab_size * architecture.hidden_size
    size = setting.weight if setting.trains_base else setting.adapter
    found = figure(
        "gradients",
        elements * size,
        f"head {elements:,} x {size} B",
        "torch: gradients appear from the head down",
    )
    return [_shared(found, shard(setting, "gradients"), upcast(setting))]


def _last_checkpoint(setting: Setting, architecture: Architecture) -> list[Figure]:
    if not setting.checkpointing:
        return []
    per_token = setting.residual * architecture.hidden_size
    return [
        figure(
            "checkpoints",
            setting.tokens * per_token,
            f"{setting.tokens:,} tokens x 1 layer x h x {setting.residual} B",
            "",
        )
    ]


def _load(setting: Setting, architecture: Architecture) -> list[Figure]:
    disk = 4 if architecture.dtype == "float32" else 2
    largest = max((item.parameters for item in architecture.linears), default=0)
    largest = max(largest, architecture.parameters.embedding)
    weights = [
        _shared(item, shard(setting, "weights"), 1.0)
        for item in weight_figures(setting, architecture)
        if item.category != "adapter"
    ]
    return [
        *weights,
        figure(
            "load buffer",
            largest * disk,
            f"largest tensor {largest:,} x {disk} B on its way in",
            "transformers loads tensor by tensor",
        ),
    ]


def _evaluation(setting: Setting, architecture: Architecture) -> list[Figure]:
    """Forward only: nothing is saved, a block's widest tensors and the head's forward remain."""
    tokens, c = setting.eval_tokens, setting.compute
    if not tokens:
        return []
    f, h = _mlp_width(architecture), architecture.hidden_size
    figures = [
        figure(
            "activations",
            tokens * (3 * c * f + 4 * setting.residual * h),
            f"{tokens:,} tokens x (3 x {c} x f {f:,} + 4 x {setting.residual} x h {h:,}) B",
            "forward of one block without saving",
        )
    ]
    if setting.loss.kind == "fused head":
        from core.memory.loss import TILE_TOKENS, TILE_WIDTH

        rows = min(tokens, TILE_TOKENS)
        spread = 13 * rows * min(architecture.vocab_size, TILE_WIDTH) if setting.device == "cpu" else 0
        figures.append(
            figure(
                "loss",
                rows * TILE_WIDTH * c + spread,
                f"tile {rows:,} x {TILE_WIDTH:,} x {c} B",
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
