"""An adapter folded into a model that lies on disk: PEFT's own layers merge, one layer in memory at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.errors import TunedeckError
from core.export.hollow import HollowModel, filled, plain_key
from core.export.shards import Planned, write_checkpoint


def fold_layer_by_layer(hollow: HollowModel, folder: Path) -> None:
    """Write the merged weights, their index and the configuration into `folder`.

    Each weight is what `merge_and_unload` makes of it. Where an adapter acts on only one of two tied weights
    (PEFT would change both), the two are written apart, so that the result answers as base and adapter do.
    Raises TunedeckError for weights that are not finite, OSError for a disk that is full.
    """
    merged = _Merged(hollow)
    untied = {key for key, source in hollow.tied.items() if merged.differ(key, source)}
    keys = dict(hollow.keys)
    for key in untied:
        keys[key] = keys[hollow.tied[key]]
    planned = [Planned(key, merged.dtype(key), shape) for key, shape in keys.items()]
    write_checkpoint(folder, planned, merged.weight)
    _write_config(hollow, folder, tied=not untied)


class _Merged:
    """The merged weights by name. Those of the layer at hand are kept until the next layer is asked for."""

    def __init__(self, hollow: HollowModel) -> None:
        self._hollow = hollow
        self._layer_of = {
            plain_key(f"{name}.{own}"): name
            for name, layer in hollow.layers.items()
            for own, parameter in layer.named_parameters()
            if parameter.is_meta
        }
        self._at = ""
        self._weights: dict[str, Any] = {}

    def weight(self, key: str) -> Any:
        name = self._layer_of.get(key)
        if name is None:
            return self._hollow.weight(key)
        if name != self._at:
            self._weights = {}  # give the memory back before the next layer is read
            self._at, self._weights = name, _merged_layer(self._hollow, name)
        tensor = self._weights[key]
        return tensor.to(self._hollow.dtype_of(key)) if tensor.is_floating_point() else tensor

    def dtype(self, key: str) -> str:
        """As torch names it. Only floating weights change their dtype."""
        stored = self._hollow.checkpoint.places.get(key) or self._hollow.checkpoint.places.get(
            self._hollow.tied.get(key, key)
        )
        if stored is not None and "float" not in stored.dtype:
            return stored.dtype
        return str(self._hollow.dtype_of(key)).removeprefix("torch.")

    def differ(self, key: str, source: str) -> bool:
        """Whether the adapter made two tied weights different."""
        import torch

        if key not in self._layer_of and source not in self._layer_of:
            return False
        one, other = self.weight(key), self.weight(source)
        return one.shape != other.shape or not torch.equal(one, other)


def _merged_layer(hollow: HollowModel, name: str) -> dict[str, Any]:
    """Every weight of one adapted layer after PEFT has merged it, by its name in the plain model."""
    import torch

    layer = hollow.layers[name]
    with filled(hollow, name, layer), torch.no_grad():
        try:
            if hasattr(layer, "unload_and_optionally_merge_module"):
                plain = layer.unload_and_optionally_merge_module(
                    merge=True, safe_merge=True, adapter_names=None
                )
            else:
                layer.merge(safe_merge=True)
                plain = layer.get_base_layer()
        except ValueError as error:
            raise _broken(hollow, name, str(error)) from error
        weights = {
            f"{name}.{own}": value.detach() for own, value in plain.state_dict(keep_vars=False).items()
        }
    layer.merged_adapters = []  # its base weights are given back, so it is no longer merged
    for key, value in weights.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise _broken(hollow, key, "weights that are not finite")
    return weights


def _broken(hollow: HollowModel, name: str, what: str) -> TunedeckError:
    return TunedeckError(f"the adapter cannot be merged: {what}", where=name, fix="use an earlier checkpoint")


def _write_config(hollow: HollowModel, folder: Path, *, tied: bool) -> None:
    """config.json and generation_config.json of the merged model."""
    config = hollow.model.config
    text = config.get_text_config(decoder=True)
    config.architectures = [type(hollow.model).__name__]
    config.dtype = hollow.dtype
    text.use_cache = True
    if not tied:
        config.tie_word_embeddings = text.tie_word_embeddings = False
    config.save_pretrained(str(folder))
    if hollow.model.can_generate():
        hollow.model.generation_config.save_pretrained(str(folder))
