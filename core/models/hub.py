"""Talking to the Hub: one client, and every failure as a sentence with a fix.

`HF_ENDPOINT`, `HF_TOKEN`, `HF_HOME` and `HF_HUB_OFFLINE` are read by huggingface_hub itself. The token is
never part of a message, a log or a run.
"""

from __future__ import annotations

import contextlib
import errno
import re
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from core.errors import MissingError, TunedeckError, UsageError

CONNECT_SECONDS = 5.0
_TOKEN = re.compile(r"hf_\w+")


class HubUnreachable(MissingError):
    """The Hub cannot be reached: offline by choice, no network, or a server that does not answer."""


def api() -> Any:
    """The library's client, with the token of this machine if there is one."""
    from huggingface_hub import HfApi

    return HfApi(library_name="tunedeck")


def is_offline() -> bool:
    """Whether the person switched the Hub off (HF_HUB_OFFLINE)."""
    from huggingface_hub.constants import is_offline_mode

    return bool(is_offline_mode())


def check_reachable() -> None:
    """Raises HubUnreachable within seconds where the library would go on trying for half a minute."""
    if is_offline():
        raise in_words(_offline())
    address = urlsplit(_endpoint())
    if not address.hostname or any(proxy in getproxies() for proxy in (address.scheme, "all")):
        return  # behind a proxy the host itself need not be reachable
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname, port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise in_words(ConnectionError(str(error))) from None


def _offline() -> Exception:
    from huggingface_hub.errors import OfflineModeIsEnabled

    return OfflineModeIsEnabled("offline")


@contextlib.contextmanager
def hub_errors(model: str = "", revision: str = "") -> Iterator[None]:
    """Turn what huggingface_hub raises into TunedeckError, in words and without the token."""
    try:
        yield
    except TunedeckError:
        raise
    except Exception as error:
        raise in_words(error, model, revision) from None


def in_words(error: Exception, model: str = "", revision: str = "", *, kind: str = "model") -> TunedeckError:
    """The sentence for one exception of the library (or of the network or the disk below it).

    `kind` is what the name stands for: a model or a data set.
    """
    from huggingface_hub import errors

    if isinstance(error, errors.OfflineModeIsEnabled):
        return HubUnreachable(
            "the Hub is switched off by HF_HUB_OFFLINE", where=model, fix="unset it to go online"
        )
    if isinstance(error, errors.GatedRepoError):
        return MissingError(
            f"this {kind} is gated and this machine has no access to it",
            where=model,
            fix=f"accept its terms at {_endpoint()}/{'datasets/' if kind == 'data set' else ''}{model}, then set HF_TOKEN (or run: hf auth login)",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return UsageError(
            f"there is no revision {revision}", where=model, fix="name a branch, a tag or a commit"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return MissingError(
            f"there is no such {kind} on the Hub, or it is private",
            where=model,
            fix="check the name; for a private one set HF_TOKEN (or run: hf auth login)",
        )
    if isinstance(error, errors.SafetensorsParsingError):
        return TunedeckError("a weight file on the Hub is damaged: its header cannot be read", where=model)
    if isinstance(error, errors.HFValidationError):
        return UsageError(f"this cannot be the name of a {kind}", where=model, fix="write owner/name")
    if isinstance(error, errors.EntryNotFoundError) and isinstance(error, errors.HfHubHTTPError):
        return TunedeckError(f"a file is missing on the Hub: {_clean(error)}", where=model)
    if isinstance(error, errors.HfHubHTTPError):
        return _from_status(error, model)
    return _from_network_or_disk(error, model)


def _from_status(error: Any, model: str) -> TunedeckError:
    status = getattr(error.response, "status_code", 0)
    if status == 429:
        return TunedeckError(
            "the Hub asks to slow down (429)",
            where=model,
            fix="wait a minute; with a token the limit is higher",
        )
    if status in (401, 403):
        return MissingError(
            f"the Hub refuses this token ({status})", where=model, fix="set a valid HF_TOKEN, or unset it"
        )
    if status >= 500:
        return HubUnreachable(
            f"the Hub has trouble of its own ({status})", where=model, fix="try again later"
        )
    return TunedeckError(f"the Hub answered {status}: {_clean(error)}", where=model)


def _from_network_or_disk(error: Exception, model: str) -> TunedeckError:
    import httpx2

    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TunedeckError(
            "the disk is full", where=model, fix="free some space, then go on with the same command"
        )
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EROFS):
        return TunedeckError(f"the cache cannot be written: {error.strerror}", where=model, fix="set HF_HOME")
    if isinstance(error, (httpx2.TransportError, ConnectionError, TimeoutError)):
        return HubUnreachable(
            f"the Hub cannot be reached at {_endpoint()}",
            where=model,
            fix="check the network; what is here still works",
        )
    return TunedeckError(f"{type(error).__name__}: {_clean(error)}", where=model)


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def _clean(error: Exception) -> str:
    """The first line of a message, without anything that looks like a token."""
    first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return _TOKEN.sub("(token)", first.strip())
