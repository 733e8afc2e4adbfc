"""The exact dry run: the real model code, adapter, loss and optimizer over tensors that hold no data.

    trace(config, recipe, length=2048, peft_config=..., prepare=...)

Optimizer states appear in a first step, the second is counted. Memory is linear in the number of equal
layers, so a deep model is traced at two depths and read off the line; `layers_traced` says which. Imports
torch; runs in a process of its own, see `core.memory.stand_ins`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from core.errors import TunedeckError
from core.memory.setting import Setting
from core.memory.stand_ins import Quantised, patched
from core.memory.tracker import StorageTracker

FULL_DEPTH = 8  # models up to this many layers are traced whole


@dataclass(frozen=True)
class TracedPhase:
    """The peak of one phase: bytes, by category, and the module at work."""

    bytes: int
    categories: dict[str, int]
    module: str


@dataclass(frozen=True)
class Trace:
    """What the dry run counted. Bytes of torch's allocator on one device, without rounding to blocks."""

    phases: dict[str, TracedPhase]
    static_bytes: int
    seconds: float
    layers_traced: tuple[int, ...]
    corrections: tuple[str, ...] = ()

    @property
    def peak_phase(self) -> str:
        return max(self.phases, key=lambda name: self.phases[name].bytes)

    @property
    def peak_allocated_bytes(self) -> int:
        return self.phases[self.peak_phase].bytes

    def to_json(self) -> dict[str, Any]:
        return {
            "peak_allocated_bytes": self.peak_allocated_bytes,
            "static_bytes": self.static_bytes,
            "peak_phase": self.peak_phase,
            "phases": {name: phase.categories for name, phase in self.phases.items()},
            "modules": {name: phase.module for name, phase in self.phases.items()},
            "seconds": round(self.seconds, 2),
            "layers_traced": list(self.layers_traced),
            "corrections": list(self.corrections),
        }


@dataclass(frozen=True)
class Untraced:
    """Bytes by formula of an optimizer whose code cannot run on fake tensors."""

    optimizer: str
    state_bytes: int
    step_bytes: int
    formula: str


@dataclass(frozen=True)
class Subject:
    """What is traced. `adapt` turns the base model (on the meta device) into the model that trains."""

    config: Any  # a transformers PretrainedConfig
    setting: Setting
    dtype: torch.dtype
    autocast: torch.dtype | None
    adapt: Callable[[Any], Any]
    attention: str
    untraced: Untraced | None = None


def trace(subject: Subject, progress: Callable[[Any], Any] | None = None) -> Trace:
    """Dry-run one process of a run. Raises TunedeckError for model code that fake tensors cannot run."""
    start = time.perf_counter()
    layers = int(subject.config.num_hidden_layers)
    depths = _depths(subject.config, layers, subject.setting.adapted.first_layer)
    with patched(subject.setting.device):
        found = []
        for depth in depths:
            if progress is not None:
                progress(f"{depth} of {layers} layers")
            found.append(_at_depth(subject, depth))
    phases, static = found[0] if len(found) == 1 else _extended(found[0], found[1], depths, layers)
    corrections = _corrections(subject.setting)
    if subject.untraced is not None:
        phases, static = _with_formula(phases, static, subject.untraced)
        corrections += (f"{subject.untraced.optimizer} by formula: {subject.untraced.formula}",)
    return Trace(phases, static, time.perf_counter() - start, depths, corrections)


def _with_formula(
    phases: dict[str, TracedPhase], static: int, untraced: Untraced
) -> tuple[dict[str, TracedPhase], int]:
    """The phases with the optimizer's states in all of them, and its temporaries in its step."""
    found = {}
    for name, phase in phases.items():
        added = {"optimizer": untraced.state_bytes}
        if name == "step":
            added["optimizer temporaries"] = untraced.step_bytes
        categories = dict(phase.categories)
        for category, value in added.items():
            categories[category] = categories.get(category, 0) + value
        found[name] = TracedPhase(sum(categories.values()), categories, phase.module)
    return found, static + untraced.state_bytes


def count_real(
    model: Any, setting: Setting, autocast: torch.dtype | None, ids: torch.Tensor
) -> dict[str, TracedPhase]:
    """The same count over real tensors: what `trace` is compared with."""
    tracker = StorageTracker()
    _steps(model, setting, autocast, ids, tracker)
    return _phases(tracker)


def _depths(config: Any, layers: int, first_trained: int = 0) -> tuple[int, ...]:
    """Whole up to eight layers; else two depths one period of layer kinds apart.

    Where only the last layers train, they are all there at both depths, and the frozen ones are what differs.
    """
    if layers <= FULL_DEPTH:
        return (layers,)
    kinds = list(getattr(config, "layer_types", None) or ["full"] * layers)
    for period in range(1, layers // 2):
        if all(kinds[index] == kinds[index % period] for index in range(layers)) and layers % period == 0:
            last = layers - first_trained if first_trained else 0
            return last + 2 * period, last + 3 * period
    return (layers,)


def _at_depth(subject: Subject, depth: int) -> tuple[dict[str, TracedPhase], int]:
    from torch._subclasses.fake_tensor import FakeTensorMode

    setting = subject.setting
    model = _built(subject, depth)
    try:
        with FakeTensorMode(allow_non_fake_inputs=True):
            _make_fake(model)
            ids = torch.zeros(
                setting.rows_per_pass, setting.tokens // setting.rows_per_pass, dtype=torch.long
            )
            tracker = StorageTracker()
            static = _steps(model, setting, subject.autocast, ids, tracker)
            return _phases(tracker), static
    except RuntimeError as error:
        raise TunedeckError(
            f"this model's code cannot run without data: {str(error).splitlines()[0]}",
            fix="the formulas still hold; the plan is made from them",
        ) from error


def _built(subject: Subject, depth: int) -> Any:
    from transformers import AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    config = type(subject.config).from_dict(subject.config.to_dict() | {"use_cache": False})
    if depth != config.num_hidden_layers:
        kinds = getattr(config, "layer_types", None)
        config.num_hidden_layers = depth
        if kinds:
            config.layer_types = kinds[:depth]
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(
            config, dtype=subject.dtype, attn_implementation=subject.attention
        )
    if subject.setting.quantization != "none":
        _quantise(model, subject.setting)
    if subject.setting.loss.kind == "fused head":
        add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))
    model = subject.adapt(model)
    if subject.setting.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        if hasattr(model, "peft_config"):  # as TRL does: a frozen embedding would cut the graph
            model.enable_input_require_grads()
    return model.train()


def _quantise(model: Any, setting: Setting) -> None:
    bits = 8 if setting.quantization == "int8" else 4
    head = model.get_output_embeddings()
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.Linear) and child is not head:
                setattr(parent, name, Quantised(child, bits, setting.double_quantization))


def _make_fake(model: Any) -> None:
    """Every parameter and buffer becomes an empty fake tensor; what was tied stays tied."""
    made: dict[int, torch.Tensor] = {}
    for module in model.modules():
        for table in (module._parameters, module._buffers):
            for key, old in table.items():
                if old is None:
                    continue
                if id(old) not in made:
                    fresh = torch.empty(old.shape, dtype=old.dtype, device="cpu")
                    is_parameter = isinstance(old, torch.nn.Parameter)
                    made[id(old)] = torch.nn.Parameter(fresh, old.requires_grad) if is_parameter else fresh
                table[key] = made[id(old)]


def _steps(
    model: Any, setting: Setting, autocast: torch.dtype | None, ids: torch.Tensor, tracker: StorageTracker
) -> int:
    """A training step that finds its optimizer states, and an evaluation forward; bytes held between steps."""
    for parameter in model.parameters():
        tracker.mark(
            parameter, "adapter" if parameter.requires_grad and not setting.trains_base else "weights"
        )
    for name, buffer in model.named_buffers():
        tracker.mark(buffer, "quantisation state" if name.endswith("scales") else "buffers")
    tracker.mark(ids, "batch")
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.register_post_accumulate_grad_hook(lambda one: tracker.mark(one.grad, "gradients"))
    optimizer = _optimizer(setting, trained)
    _follow(model, tracker)
    with tracker:
        # The first step makes the optimizer's states; what it peaks at never exceeds the second.
        for parameter in trained:
            parameter.grad = torch.empty_like(parameter)
        _optimize(optimizer, trained, tracker)
        static = tracker.current_bytes
        tracker.peaks.clear()
        for _ in range(2 if setting.gradients_survive else 1):
            _forward_backward(model, setting, autocast, ids, tracker)
        tracker.enter("step")
        _optimize(optimizer, trained, tracker)
        if setting.eval_tokens:
            tracker.enter("eval")
            with torch.no_grad():
                _loss(model.eval(), setting, autocast, ids)
            model.train()
    return static


def _optimize(optimizer: torch.optim.Optimizer | None, trained: list[Any], tracker: StorageTracker) -> None:
    if optimizer is not None:
        optimizer.step()
        for state in optimizer.state.values():
            for value in state.values():
                if isinstance(value, torch.Tensor):
                    tracker.mark(value, "optimizer")
    for parameter in trained:
        parameter.grad = None


def _forward_backward(
    model: Any, setting: Setting, autocast: torch.dtype | None, ids: torch.Tensor, tracker: StorageTracker
) -> None:
    tracker.enter("forward")
    loss = _loss(model, setting, autocast, ids)
    tracker.enter("loss")
    loss.backward()


def _loss(model: Any, setting: Setting, autocast: torch.dtype | None, ids: torch.Tensor) -> Any:
    with torch.autocast("cpu", dtype=autocast or torch.bfloat16, enabled=autocast is not None):
        mask = torch.ones_like(ids) if setting.attention == "sdpa with mask" else None
        if setting.loss.kind == "fused head":
            outputs = model(
                input_ids=ids, labels=ids, use_cache=False, attention_mask=mask, fused_lm_head=True
            )
            return -outputs.log_probs.sum() / max(ids.numel(), 1)
        return model(input_ids=ids, labels=ids, use_cache=False, attention_mask=mask).loss


def _follow(model: Any, tracker: StorageTracker) -> None:
    """Phases from the gradients that pass: of the last hidden state, then of the first layer's output."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    backbone = base.base_model
    stack = max((one for one in backbone.modules() if isinstance(one, torch.nn.ModuleList)), key=len)

    def at_backbone(_module: Any, _inputs: Any, outputs: Any) -> None:
        hidden = outputs.last_hidden_state
        if torch.is_grad_enabled():
            tracker.enter("loss")
            if hidden.requires_grad:
                hidden.register_hook(lambda _gradient: tracker.enter("block"))

    def at_first_layer(_module: Any, _inputs: Any, outputs: Any) -> None:
        hidden = outputs[0] if isinstance(outputs, tuple) else outputs
        if torch.is_grad_enabled() and hidden.requires_grad and torch._C._current_graph_task_id() == -1:
            hidden.register_hook(lambda _gradient: tracker.enter("end_bwd"))

    backbone.register_forward_hook(at_backbone)
    stack[0].register_forward_hook(at_first_layer)
    for name, module in backbone.named_modules():
        if name:
            module.register_forward_pre_hook(
                lambda _module, _inputs, name=name: setattr(tracker, "module", name)
            )


def _optimizer(setting: Setting, trained: list[Any]) -> torch.optim.Optimizer | None:
    """torch's own optimizer where it can run on fake tensors; `Subject.untraced` stands for the others."""
    name = setting.optimizer
    if name.startswith("adamw_torch"):
        return torch.optim.AdamW(trained, foreach=name == "adamw_torch", fused=name == "adamw_torch_fused")
    if name == "sgd":
        return torch.optim.SGD(trained, lr=0.1)
    return None


def runs_on_fake_tensors(optimizer: str) -> bool:
    """Whether the dry run runs this optimizer's own code."""
    return optimizer.startswith("adamw_torch") or optimizer == "sgd"


def _phases(tracker: StorageTracker) -> dict[str, TracedPhase]:
    return {
        name: TracedPhase(peak.bytes, dict(peak.categories), peak.module)
        for name, peak in tracker.peaks.items()
    }


def _extended(
    low: tuple[dict[str, TracedPhase], int],
    high: tuple[dict[str, TracedPhase], int],
    depths: tuple[int, ...],
    layers: int,
) -> tuple[dict[str, TracedPhase], int]:
    """Every category on the line through two depths."""
    steps = (layers - depths[0]) / (depths[1] - depths[0])
    phases = {}
    for name, phase in low[0].items():
        other = high[0][name]
        keys = dict.fromkeys([*phase.categories, *other.categories])
        categories = {
            key: round(
                phase.categories.get(key, 0)
                + steps * (other.categories.get(key, 0) - phase.categories.get(key, 0))
            )
            for key in keys
        }
        phases[name] = TracedPhase(sum(categories.values()), categories, other.module)
    return phases, round(low[1] + steps * (high[1] - low[1]))


def _corrections(setting: Setting) -> tuple[str, ...]:
    """What stands in for a GPU in this dry run, in words."""
    padded = setting.attention == "sdpa with mask"
    found = [
        "a padded batch: with its attention mask" if padded else "a batch of equal rows: no attention mask"
    ]
    if setting.device == "cpu" and setting.loss.kind == "fused head":
        found.append("of a loss tile the part that the vocabulary fills: a host holds no more")
    if setting.device == "cuda":
        found += ["loss tiles as Triton runs them", "SDPA as the flash kernel runs it"]
        if setting.dropout:
            found.append("dropout masks of one byte per element")
        if setting.quantization != "none":
            found.append(f"{setting.quantization} linears dequantise one weight at a time")
    return tuple(found)
