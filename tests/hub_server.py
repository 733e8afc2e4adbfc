"""A small Hugging Face Hub on this machine, for the real huggingface_hub client.

It speaks what tunedeck uses: search with pages, model info, the file tree, access checks, HEAD and GET with
ranges, gated repositories, missing things, rate limits, and connections cut in the middle.

    with HubServer() as hub:
        hub.add("acme/tiny", {"config.json": b"{}"})
        hub.add("datasets/acme/chats", {"train.jsonl": b"..."})
        ... HF_ENDPOINT=hub.url ...
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

COMMIT = "c0ffee" + "0" * 34
TOKEN = "hf_local_test_token"
LARGE = 1 << 16  # bytes from which a file has a SHA-256 etag, as files in large file storage have


@dataclass
class Repository:
    """One model, or one data set, whose name then begins with "datasets/".

    `gated` is False, "auto" or "manual"; only `TOKEN` may read a gated one.
    """

    files: dict[str, bytes]
    gated: bool | str = False
    downloads: int = 0
    likes: int = 0
    licence: str = "apache-2.0"
    parameters: int = 0
    private: bool = False
    branches: dict[str, dict[str, bytes]] = field(default_factory=dict)  # files of other revisions

    def at(self, revision: str) -> dict[str, bytes] | None:
        """The files of a branch or of a branch's commit; None if there is no such revision."""
        if revision in ("main", COMMIT):
            return self.files
        names = {name for name in self.branches if revision in (name, commit_of(name))}
        return self.branches[names.pop()] if names else None


@dataclass
class HubServer:
    """The server. Change `cut_after`, `limited` or `slow_seconds` while it runs to make trouble."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    cut_after: int = 0  # bytes of a large file after which the next connections are cut
    cuts_left: int = 0
    limited: bool = False  # answer 429
    slow_seconds: float = 0.0  # before every 64 KiB of a file
    role: str = "read"  # what `TOKEN` may do: read or write
    lose_file: str = ""  # a path that a commit silently drops
    requests: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, range
    tokens_seen: set[str] = field(default_factory=set)

    def __enter__(self) -> HubServer:
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def add(self, name: str, files: dict[str, bytes], **more: Any) -> Repository:
        self.repositories[name] = Repository(files, **more)
        return self.repositories[name]

    def ranges_of(self, file: str) -> list[str]:
        """The Range headers of every GET of a file, in order; "" for a whole one."""
        return [
            ranges for method, path, ranges in self.requests if method == "GET" and path.endswith(f"/{file}")
        ]


def commit_of(revision: str) -> str:
    """The commit that a branch stands at."""
    if revision in ("main", COMMIT):
        return COMMIT
    return revision if len(revision) == 40 else hashlib.sha1(revision.encode()).hexdigest()


def etag_of(data: bytes) -> str:
    """SHA-256 for large files, git's blob id for small ones, as the Hub does."""
    if len(data) >= LARGE:
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Silence."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_POST(self) -> None:
        """Make a repository, say how files are to be sent (all of them inside the commit), take a commit."""
        parts = [unquote(part) for part in urlsplit(self.path).path.split("/") if part]
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        self.hub.requests.append(("POST", "/".join(parts), ""))
        if parts == ["api", "validate-yaml"]:
            self._json({"warnings": [], "errors": []})
        elif token != TOKEN or self.hub.role != "write":
            self._fail(403, "")
        elif parts == ["api", "repos", "create"]:
            self._create(json.loads(sent))
        elif "preupload" in parts:
            files = [file["path"] for file in json.loads(sent)["files"]]
            modes = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in files]
            self._json({"files": modes})
        elif "commit" in parts:
            name = "/".join(parts[2:4])
            for line in map(json.loads, sent.splitlines()):
                if line["key"] == "file" and line["value"]["path"] != self.hub.lose_file:
                    data = base64.b64decode(line["value"]["content"])
                    self.hub.repositories[name].files[line["value"]["path"]] = data
            url = f"{self.hub.url}/{name}/commit/{COMMIT}"
            self._json({"success": True, "commitOid": COMMIT, "commitUrl": url})
        else:
            self._fail(404, "EntryNotFound")

    def _create(self, wanted: dict[str, Any]) -> None:
        name = f"{wanted.get('organization') or 'tester'}/{wanted['name']}"
        if name in self.hub.repositories:
            self._json({"url": f"{self.hub.url}/{name}"}, status=409)
            return
        private = wanted.get("private") or wanted.get("visibility") == "private"
        self.hub.add(name, {}, private=bool(private))
        self._json({"url": f"{self.hub.url}/{name}", "name": name})

    def _answer(self, *, body: bool) -> None:
        url = urlsplit(self.path)
        parts = [unquote(part) for part in url.path.split("/") if part]
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        self.hub.requests.append((self.command, url.path, self.headers.get("Range", "")))
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token:
            self.hub.tokens_seen.add(token)
        if self.hub.limited:
            self._send(429, b"{}", {"Retry-After": "0"})
        elif parts[:2] == ["api", "whoami-v2"]:
            self._whoami(token)
        elif parts == ["api", "models"]:
            self._search(query)
        elif parts[:2] == ["api", "models"] and len(parts) >= 4:
            self._repository("/".join(parts[2:4]), parts[4:], token, query)
        elif parts[:2] == ["api", "datasets"] and len(parts) >= 4:
            self._repository("datasets/" + "/".join(parts[2:4]), parts[4:], token, query)
        elif "resolve" in parts:
            at = parts.index("resolve")
            self._file("/".join(parts[:at]), parts[at + 1], "/".join(parts[at + 2 :]), token, body=body)
        else:
            self._fail(404, "EntryNotFound")

    def _whoami(self, token: str) -> None:
        if token != TOKEN:
            self._fail(401, "")
            return
        access = {"auth": {"accessToken": {"displayName": "test", "role": self.hub.role}}}
        self._json({"type": "user", "name": "tester", **access})

    def _search(self, query: dict[str, str]) -> None:
        words = query.get("search", "").lower()
        found = [
            name
            for name, repository in self.hub.repositories.items()
            if words in name.lower()
            and query.get("author", name.split("/")[0]) == name.split("/")[0]
            and ("gated" not in query or bool(repository.gated) == (query["gated"] in ("true", "True")))
            and query.get("filter", f"license:{repository.licence}")
            in (f"license:{repository.licence}", "text-generation")
        ]
        order = {"downloads": "downloads", "likes": "likes"}.get(query.get("sort", ""), "")
        if order:
            found.sort(key=lambda name: -getattr(self.hub.repositories[name], order))
        start, size = int(query.get("cursor", 0)), min(int(query.get("limit", 1000)), 20)
        headers = {}
        if start + size < len(found):
            following = urlencode({**query, "cursor": str(start + size)})
            headers["Link"] = f'<{self.hub.url}/api/models?{following}>; rel="next"'
        self._json([self._summary(name) for name in found[start : start + size]], headers)

    def _summary(self, name: str) -> dict[str, Any]:
        repository = self.hub.repositories[name]
        return {
            "id": name,
            "modelId": name,
            "sha": COMMIT,
            "private": repository.private,
            "gated": repository.gated,
            "downloads": repository.downloads,
            "likes": repository.likes,
            "lastModified": "2026-01-02T03:04:05.000Z",
            "tags": ["text-generation", f"license:{repository.licence}"],
            "pipeline_tag": "text-generation",
            "cardData": {"license": repository.licence},
            "config": {"model_type": "llama"},
            "safetensors": {"parameters": {"BF16": repository.parameters}, "total": repository.parameters},
        }

    def _repository(self, name: str, rest: list[str], token: str, query: dict[str, str]) -> None:
        repository = self.hub.repositories.get(name)
        if repository is None:
            self._fail(401 if not token else 404, "RepoNotFound")
            return
        if rest[:1] == ["auth-check"]:
            self._json({}) if self._may_read(repository, token) else self._fail(
                403 if token else 401, "GatedRepo"
            )
            return
        files = repository.at(rest[1] if rest[:1] in (["revision"], ["tree"], ["paths-info"]) else "main")
        if files is None:
            self._fail(404, "RevisionNotFound")
        elif rest[:1] == ["tree"]:
            self._tree(files, "/".join(rest[2:]), recursive=query.get("recursive", "") in ("true", "True"))
        else:
            siblings = [
                {"rfilename": path, **{k: v for k, v in self._tree_entry(path, data).items() if k != "path"}}
                for path, data in files.items()
            ]
            commit = commit_of(rest[1]) if rest[:1] == ["revision"] else COMMIT
            self._json({**self._summary(name), "sha": commit, "siblings": siblings})

    def _tree(self, files: dict[str, bytes], folder: str, *, recursive: bool) -> None:
        start = f"{folder}/" if folder else ""
        inside = [path for path in files if path.startswith(start)]
        if folder and not inside:
            self._fail(404, "EntryNotFound")
            return
        entries: list[dict[str, Any]] = []
        folders = {
            start + path.removeprefix(start).partition("/")[0]
            for path in inside
            if "/" in path.removeprefix(start)
        }
        if not recursive:
            entries = [
                {"type": "directory", "path": path, "size": 0, "oid": "0" * 40} for path in sorted(folders)
            ]
            inside = [path for path in inside if "/" not in path.removeprefix(start)]
        self._json(entries + [self._tree_entry(path, files[path]) for path in inside])

    def _tree_entry(self, path: str, data: bytes) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "type": "file",
            "path": path,
            "size": len(data),
            "oid": "0" * 40,
            "blobId": "0" * 40,
        }
        if len(data) >= LARGE:
            entry["lfs"] = {
                "oid": etag_of(data),
                "sha256": etag_of(data),
                "size": len(data),
                "pointerSize": 130,
            }
        return entry

    def _may_read(self, repository: Repository, token: str) -> bool:
        return not repository.gated or token == TOKEN

    def _file(self, name: str, revision: str, path: str, token: str, *, body: bool) -> None:
        repository = self.hub.repositories.get(name)
        if repository is None:
            self._fail(401 if not token else 404, "RepoNotFound")
        elif (files := repository.at(revision)) is None:
            self._fail(404, "RevisionNotFound")
        elif not self._may_read(repository, token):
            self._fail(403 if token else 401, "GatedRepo")
        elif path not in files:
            self._fail(404, "EntryNotFound")
        else:
            self._send_file(files[path], commit_of(revision), body=body)

    def _send_file(self, data: bytes, commit: str, *, body: bool) -> None:
        headers = {"ETag": f'"{etag_of(data)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        status, start = 200, 0
        wanted = self.headers.get("Range", "")
        if wanted.startswith("bytes="):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start, end = int(first), int(last) + 1 if last else len(data)
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
            status, data = 206, data[start:end]
        self._head(status, len(data), headers)
        if body:
            self._pour(data)

    def _pour(self, data: bytes) -> None:
        cut = self.hub.cut_after if self.hub.cuts_left > 0 and len(data) > self.hub.cut_after else 0
        if cut:
            self.hub.cuts_left -= 1
        for start in range(0, cut or len(data), 1 << 16):
            if self.hub.slow_seconds:
                time.sleep(self.hub.slow_seconds)
            self.wfile.write(data[start : min(start + (1 << 16), cut or len(data))])
        if cut:
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()

    def _json(self, value: Any, headers: dict[str, str] | None = None, *, status: int = 200) -> None:
        self._send(
            status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})}
        )

    def _fail(self, status: int, code: str) -> None:
        headers = (
            {"X-Error-Code": code}
            if code
            else {"X-Error-Message": "Invalid credentials in Authorization header"}
        )
        self._send(status, b"{}", headers)

    def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self._head(status, len(data), headers)
        if self.command != "HEAD":
            self.wfile.write(data)

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(key, value)
        self.end_headers()
