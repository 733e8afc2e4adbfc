"""Fetch a model into the Hugging Face cache: checked first, verified, and resumed where it stopped.

Runs as a job of a workshop process (`core.models.download:fetch`), one per download; ending the process
cancels it. huggingface_hub lays out the cache; the bytes of large files are fetched here, because the
library starts a file anew after its process ended, and a shard has gigabytes. A part is kept beside the
blobs under its hash, continued by range request, and becomes a blob only when its hash is right.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import TunedeckError
from core.models.hub import api, hub_errors
from core.models.hub_files import HubFile, HubModel, read_hub_model
from core.workspace import write_atomically

AT_ONCE = 3  # files
KEEP_FREE_BYTES = 256 << 20  # of the disk
PART = ".tunedeck-part"
_CHUNK = 1 << 20
_TRIES = 6  # of one file without a new byte


@dataclass(frozen=True, slots=True)
class DownloadProgress:
    """How far a download is. `eta_seconds` is None until there is a rate."""

    done_bytes: int
    total_bytes: int
    bytes_per_second: float
    eta_seconds: float | None
    file: str = ""  # finished last


def fetch(
    model: str,
    revision: str = "main",
    allow_pickle: str = "",
    progress: Callable[[DownloadProgress], None] | None = None,
) -> str:
    """Download a model; the folder of its snapshot.

    Raises MissingError without access, UsageError for a name or revision that is none, TunedeckError for a
    full disk, refused pickles, or bytes that do not match their hash. What arrived is kept in every case.
    """
    found = read_hub_model(model, revision, allow_pickle=allow_pickle)
    with hub_errors(model, revision):
        api().auth_check(model)
    refuse_what_cannot_load(found, allow_pickle)
    meter = _Meter(found.download_bytes, progress)
    with hub_errors(model, revision):
        store = _Store(found, revision)
        store.check_space()
        small = [file for file in found.wanted if not file.path.endswith(".safetensors")]
        rest = [file for file in found.wanted if file not in small]
        for group in (small, rest):
            with ThreadPoolExecutor(AT_ONCE) as pool:
                for file in pool.map(lambda one: store.fetch(one, meter), group):
                    meter.finished(file.path)
        store.name_revision()
    return str(store.snapshot)


def refuse_what_cannot_load(found: HubModel, allow_pickle: str) -> None:
    """Raises TunedeckError for a repository without usable weights, before a byte is fetched."""
    names = [file.path for file in found.wanted]
    if "config.json" not in names:
        raise TunedeckError(
            "this repository has no config.json: it is not a transformers model", where=found.id
        )
    if any(name.endswith(".safetensors") or name == allow_pickle for name in names):
        return
    if found.pickles:
        raise TunedeckError(
            f"its weights are pickled ({found.pickles[0]}), and loading them runs code",
            where=found.id,
            fix=f'trust it by name: --allow-pickle {found.pickles[0]} and model.allow_pickle = "{found.pickles[0]}"',
        )
    raise TunedeckError("this repository holds no weights tunedeck can load", where=found.id)


class _Store:
    """One repository's place in the cache."""

    def __init__(self, model: HubModel, revision: str) -> None:
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        self.model = model
        self.cache = Path(constants.HF_HUB_CACHE)
        self.folder = self.cache / repo_folder_name(repo_id=model.id, repo_type="model")
        self.blobs = self.folder / "blobs"
        self.snapshot = self.folder / "snapshots" / model.commit
        self.revision = revision
        self._lock, self._locks = threading.Lock(), dict[str, threading.Lock]()
        self.blobs.mkdir(parents=True, exist_ok=True)

    def check_space(self) -> None:
        """Raises TunedeckError if the disk cannot hold what is still to come."""
        here = sum(path.stat().st_size for path in self.blobs.iterdir() if path.is_file())
        needed = max(self.model.download_bytes - here, 0)
        free = shutil.disk_usage(self.blobs).free
        if needed + KEEP_FREE_BYTES > free:
            raise TunedeckError(
                f"{needed / 2**30:.2f} GiB are still to come and the disk has {free / 2**30:.2f} GiB free",
                where=str(self.cache),
                fix="free some space, or set HF_HOME to another disk",
            )

    def name_revision(self) -> None:
        """Point the branch or tag at this commit. Last, so that an older whole one is not hidden before."""
        if self.revision != self.model.commit:
            write_atomically(self.folder / "refs" / self.revision, self.model.commit)

    def fetch(self, file: HubFile, meter: _Meter) -> HubFile:
        """Bring one file into the snapshot."""
        from huggingface_hub import hf_hub_download, hf_hub_url
        from huggingface_hub.file_download import get_hf_file_metadata

        if (self.snapshot / file.path).is_file():
            meter.add((self.snapshot / file.path).stat().st_size, fetched=False)
            return file
        url = hf_hub_url(self.model.id, file.path, revision=self.model.commit)
        remote = get_hf_file_metadata(url, retry_on_errors=True)
        if remote.etag is not None and remote.size is not None:
            with self._lock_of(remote.etag):  # equal files share one blob
                self._fetch_blob(url, remote, meter)
        # The blob is there: the library only links it into the snapshot, by its own rules.
        hf_hub_download(self.model.id, file.path, revision=self.model.commit)
        return file

    def _lock_of(self, etag: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(etag, threading.Lock())

    def _fetch_blob(self, url: str, remote: Any, meter: _Meter) -> None:
        blob = self.blobs / remote.etag
        if blob.is_file():
            meter.add(remote.size, fetched=False)
            return
        part = blob.with_name(blob.name + PART)
        if part.is_file() and part.stat().st_size > remote.size:
            part.unlink()
        have = part.stat().st_size if part.is_file() else 0
        meter.add(have, fetched=False)
        idle_tries = 0
        while have < remote.size:
            before = have
            try:
                have = _append(url, remote.location, part, have, meter)
            except Exception as error:
                have = part.stat().st_size if part.is_file() else 0
                idle_tries = 0 if have > before else idle_tries + 1
                if idle_tries >= _TRIES or not _may_pass(error):
                    raise
                time.sleep(min(0.5 * 2**idle_tries, 8))
        if not _hash_is(part, remote.etag):
            part.unlink()
            raise TunedeckError(
                "the bytes that arrived do not match their hash; they were thrown away",
                where=self.model.id,
                fix="start the download again",
            )
        part.replace(blob)


def _append(url: str, location: str, part: Path, have: int, meter: _Meter) -> int:
    """Append what a server sends from byte `have` on; the size reached."""
    from urllib.parse import urlsplit

    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    headers = {**build_hf_headers(), "Accept-Encoding": "identity", "Range": f"bytes={have}-"}
    if urlsplit(url).netloc != urlsplit(location).netloc:
        headers.pop("authorization", None)  # the token is for the Hub alone
    with get_session().stream(
        "GET", location, headers=headers, follow_redirects=True, timeout=30
    ) as response:
        hf_raise_for_status(response)
        if have and response.status_code != 206:  # a server that ignores ranges starts over
            meter.add(-have, fetched=False)
            have = 0
        with part.open("ab" if have else "wb") as file:
            for chunk in response.iter_raw():  # as it arrives: what came before a cut is kept
                file.write(chunk)
                have += len(chunk)
                meter.add(len(chunk))
    return have


def _may_pass(error: Exception) -> bool:
    """Whether trying again can help: a link that broke or a busy server, not a refusal or a full disk."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        status = getattr(error.response, "status_code", 0)
        return status == 429 or status >= 500
    return isinstance(error, (httpx2.TransportError, ConnectionError, TimeoutError))


def _hash_is(path: Path, etag: str) -> bool:
    """Large files carry their SHA-256 as etag, small ones git's blob id; other etags cannot be checked."""
    if len(etag) not in (40, 64):
        return True
    digest = hashlib.sha256() if len(etag) == 64 else hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest() == etag


class _Meter:
    """Counts bytes of all files together and reports a few times a second."""

    def __init__(self, total: int, progress: Callable[[DownloadProgress], None] | None) -> None:
        self._total, self._progress = total, progress
        self._done = self._fetched = 0
        self._lock = threading.Lock()
        self._began = self._told = time.monotonic()

    def add(self, count: int, *, fetched: bool = True) -> None:
        with self._lock:
            self._done += count
            self._fetched += count if fetched else 0
            if time.monotonic() - self._told > 0.2:
                self._tell("")

    def finished(self, file: str) -> None:
        with self._lock:
            self._tell(file)

    def _tell(self, file: str) -> None:
        self._told = time.monotonic()
        rate = self._fetched / max(self._told - self._began, 0.001)
        left = (self._total - self._done) / rate if rate else None
        if self._progress is not None:
            self._progress(DownloadProgress(self._done, self._total, rate, left, file))
