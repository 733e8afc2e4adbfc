"""Counts every storage a piece of torch code holds, by category and phase, on real or fake tensors.

The same counter runs over both, so a dry run can be compared with the real thing byte by byte.
"""

from __future__ import annotations

import weakref
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass
class Peak:
    """The largest sum seen in one phase, what it consisted of, and the module that was at work."""

    bytes: int = 0
    categories: dict[str, int] = field(default_factory=dict)
    module: str = ""


class StorageTracker(TorchDispatchMode):
    """Active inside `with tracker:`. `phase` and `module` are set by whoever runs the code."""

    def __init__(self) -> None:
        super().__init__()
        self.phase = ""
        self.module = ""
        self.peaks: dict[str, Peak] = {}
        self._now: Counter[str] = Counter()
        self._total = 0
        self._held: dict[int, tuple[int, str, weakref.ref[Any]]] = {}

    @property
    def current_bytes(self) -> int:
        return self._total

    def current(self) -> dict[str, int]:
        return {name: value for name, value in self._now.items() if value}

    def mark(self, tensor: torch.Tensor, category: str) -> None:
        """Count a tensor's storage under `category`, whether it was seen before or not."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        held = self._held.get(key)
        if held is None:
            self._add(storage, category)
            return
        size, before, reference = held
        self._now[before] -= size
        self._now[category] += size
        self._held[key] = (size, category, reference)

    def enter(self, phase: str) -> None:
        """Begin a phase; what is held now counts in it."""
        self.phase = phase
        self._note_peak()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        category = "temporaries" if torch._C._current_graph_task_id() != -1 else "activations"
        grew = False
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                if storage._cdata not in self._held:
                    self._add(storage, category)
                    grew = True
        if grew and not _sums_gradients(func):
            self._note_peak()
        return result

    def _add(self, storage: torch.UntypedStorage, category: str) -> None:
        key, size = storage._cdata, storage.nbytes()

        def gone(_: Any, key: int = key) -> None:
            size, category, _reference = self._held.pop(key)
            self._now[category] -= size
            self._total -= size

        self._held[key] = (size, category, weakref.ref(storage, gone))
        self._now[category] += size
        self._total += size

    def _note_peak(self) -> None:
        peak = self.peaks.setdefault(self.phase, Peak())
        if self._total > peak.bytes:
            peak.bytes, peak.categories, peak.module = self._total, self.current(), self.module


def _sums_gradients(func: Any) -> bool:
    """Autograd adds two gradients of one tensor in place, unless a dispatch mode such as this one is active.

    The engine lets go of the first one right after, so the sum is counted, its double is not.
    """
    in_backward = torch._C._current_graph_task_id() != -1 and not torch.is_grad_enabled()
    return in_backward and func is torch.ops.aten.add.Tensor
