"""Which weights answer: the base or one of its adapters, by PEFT's own switch, on the same base weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from core.chat.load import LoadedModel
from core.chat.messages import BASE
from core.errors import UsageError


@contextmanager
def speaking_as(loaded: LoadedModel, who: str) -> Iterator[None]:
    """Inside, the model answers as `who`. Calling `get_base_model()` would not do: its layers keep the adapter.

    Raises UsageError for a voice the model does not have.
    """
    if who not in loaded.voices:
        raise UsageError(
            f"there is no {who} here",
            where=loaded.subject.label,
            fix=f"ask one of: {', '.join(loaded.voices)}",
        )
    if not loaded.adapters:
        yield
    elif who == BASE:
        with loaded.model.disable_adapter():
            yield
    else:
        loaded.model.set_adapter(loaded.adapters[who])
        yield


def adapter_state(loaded: LoadedModel) -> tuple[str, bool]:
    """Name of the active adapter and whether it is applied right now, read from PEFT's layers."""
    if not loaded.adapters:
        return "", False
    try:
        status = loaded.model.get_model_status()
    except TypeError:  # prompt learning has no adapter layers to read
        return str(loaded.model.active_adapter), not loaded.model._adapters_disabled
    return ", ".join(status.active_adapters), status.enabled is True
