"""A hub on this machine: the endpoints that the libraries call, and the faults that a hub has."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub.repositories import Fault, Repository
from tests.hub.uploads import LARGE, Uploads


class Hub:
    """The server: repositories by kind and name, and faults to show.

    Attributes:
        repositories: Keys are ("model", "a/b") and ("dataset", "a/b").
        renamed: New names by old ones.
        token: The only token that private repositories open to.
        writable: Owners whose models it may change.
        large: Large files that were sent, by their SHA-256.
        requests: Method and path of each, in their order.
    """

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.renamed: dict[str, str] = {}
        self.private: set[str] = set()
        self.gated: set[str] = set()
        self.token = "hf_right"
        self.writable = {"a"}
        self.large: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.stopped = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def add_model(self, name: str, folder: Path, **files: bytes) -> str:
        """Add a commit of a model with the files of a folder; return its hash."""
        found = {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}
        return self.repository("model", name).commit({**found, **files})

    def repository(self, kind: str, name: str) -> Repository:
        """Return a repository, a new one if need be."""
        return self.repositories.setdefault((kind, name), Repository())

    def close(self) -> None:
        """Stop the server, requests that stall included."""
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        pass

    Handler.hub = hub
    return Handler


class _Handler(Uploads, BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.body = self.read_body()
        self._answer()

    def do_PUT(self) -> None:
        self.do_POST()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        self.fault = self._fault(path)
        if self.fault is not None and (self.fault.status or self.fault.body is not None):
            self._send(self.fault.status or 200, self.fault.body or b"", self.fault.headers)
            return
        if self.take(path):
            return
        parts = [each for each in path.split("/") if each]
        if parts[:1] == ["api"] and parts[1:2] and parts[1] in {"models", "datasets"}:
            self._api(parts[1].removesuffix("s"), "/".join(parts[2:4]), parts[4:])
        elif "resolve" in parts:
            place = parts.index("resolve")
            kind = "dataset" if parts[0] == "datasets" else "model"
            name = "/".join(parts[place - 2 : place])
            self._file(kind, name, parts[place + 1], "/".join(parts[place + 2 :]))
        else:
            self._send(404, b"{}")

    def _fault(self, path: str) -> Fault | None:
        for fault in self.hub.faults:
            if fault.on in path and fault.method in {"", self.command} and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def _find(self, kind: str, name: str, reads: bool) -> Repository | None:
        """Return a repository that this request may see, or answer why not."""
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if given and given != self.hub.token:
            self._refuse(401, None, "Invalid credentials in Authorization header")
            return None
        found = self.hub.repositories.get((kind, name))
        if found is None or (name in self.hub.private and not given):
            self._refuse(404 if given else 401, "RepoNotFound", "Repository not found")
            return None
        if name in self.hub.gated and reads:
            self._refuse(403 if given else 401, "GatedRepo", f"Access to {name} is restricted.")
            return None
        return found

    def _api(self, kind: str, name: str, rest: list[str]) -> None:
        if name in self.hub.renamed:
            new = self.path.replace(name, self.hub.renamed[name])
            self._send(307, b"", {"Location": new})
            return
        found = self._find(kind, name, reads=rest[:1] in (["tree"], ["paths-info"]))
        if found is None:
            return
        about = rest[0] if rest else "revision"
        revision = rest[1] if len(rest) > 1 else "main"
        if about == "revision":
            revision = "/".join(rest[1:]) or "main"
        commit = found.find(revision)
        if commit is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        elif about == "revision":
            self._json(_describe(name, commit, found.commits[commit]))
        elif about == "tree":
            folder = "/".join(rest[2:])
            files = {k: v for k, v in found.commits[commit].items() if k.startswith(folder)}
            query = parse_qs(urlsplit(self.path).query)
            whole = query.get("recursive", ["False"])[0].lower() == "true"
            self._json(_list(files, folder, whole))
        elif about == "paths-info":
            form = parse_qs(self.body.decode())
            try:
                paths = json.loads(self.body)["paths"]
            except ValueError:
                paths = form.get("paths", [])
            files = found.commits[commit]
            shown = [_entry(path, files[path]) for path in paths if path in files]
            folders = [
                {"type": "directory", "path": path, "oid": "0" * 40, "size": 0}
                for path in paths
                if path not in files and any(each.startswith(f"{path}/") for each in files)
            ]
            self._json([*shown, *folders])
        else:
            self._send(404, b"{}")

    def _file(self, kind: str, name: str, revision: str, path: str) -> None:
        if name in self.hub.renamed:
            new = self.path.replace(name, self.hub.renamed[name])
            self._send(307, b"", {"Location": new})
            return
        found = self._find(kind, name, reads=True)
        if found is None:
            return
        commit = found.find(revision)
        if commit is None:
            self._refuse(404, "RevisionNotFound", "Invalid rev id")
            return
        content = found.commits[commit].get(path)
        if content is None:
            self._refuse(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
            return
        digest = _identify(path, content)
        headers = {"X-Repo-Commit": commit, "ETag": f'"{digest}"', "Accept-Ranges": "bytes"}
        if path.endswith(LARGE):
            headers |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content))}
        span = self.headers.get("Range", "")
        if span.startswith("bytes=") and self.command == "GET":
            first, _, last = span.removeprefix("bytes=").partition("-")
            start, stop = int(first), int(last or len(content) - 1) + 1
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
            self._send(206, content[start:stop], headers)
        else:
            self._send(200, content, headers)

    def _refuse(
        self, status: int, code: str | None, message: str, more: Mapping[str, str] | None = None
    ) -> None:
        headers = {"X-Error-Message": message, **(more or {})}
        if code is not None:
            headers["X-Error-Code"] = code
        self._send(status, json.dumps({"error": message}).encode(), headers)

    def _json(self, values: Any) -> None:
        self._send(200, json.dumps(values).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        fault = self.fault
        if fault is not None and fault.stall_after is not None:
            self.wfile.write(content[: fault.stall_after])
            self.wfile.flush()
            self.hub.stopped.wait(300)
            self.close_connection = True
        elif fault is not None and fault.drop_after is not None:
            self.wfile.write(content[: fault.drop_after])
            self.wfile.flush()
            self.close_connection = True
        else:
            self.wfile.write(content)


def _identify(path: str, content: bytes) -> str:
    if path.endswith(LARGE):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _describe(name: str, commit: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    siblings = []
    for path, content in files.items():
        entry = {"rfilename": path, "size": len(content), "blobId": "0" * 40}
        if path.endswith(LARGE):
            entry["lfs"] = {
                "sha256": _identify(path, content), "size": len(content), "pointerSize": 134
            }  # fmt: skip
        siblings.append(entry)
    times = {"lastModified": "2026-01-01T00:00:00.000Z", "createdAt": "2026-01-01T00:00:00.000Z"}
    return {
        "_id": "0" * 24, "id": name, "modelId": name, "sha": commit, "private": False,
        "gated": False, "disabled": False, "downloads": 0, "likes": 0, "tags": [],
        "siblings": siblings, **times,
    }  # fmt: skip


def _entry(path: str, content: bytes) -> dict[str, Any]:
    entry = {"type": "file", "path": path, "size": len(content), "oid": _identify(path, content)}
    if path.endswith(LARGE):
        entry["lfs"] = {
            "oid": _identify(path, content), "size": len(content), "pointerSize": 134
        }  # fmt: skip
    return entry


def _list(files: Mapping[str, bytes], folder: str, whole: bool) -> list[dict[str, Any]]:
    start = f"{folder}/" if folder else ""
    entries = {}
    for path, content in files.items():
        inner = path.removeprefix(start)
        if whole or "/" not in inner:
            entries[path] = _entry(path, content)
        if "/" in inner:
            top = start + inner.partition("/")[0]
            entries[top] = {"type": "directory", "path": top, "oid": "0" * 40, "size": 0}
    return list(entries.values())
