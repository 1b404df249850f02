"""What the hub on this machine answers to those who send models: the calls of `upload_folder`."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from tests.hub.server import Hub

LARGE = (".safetensors", ".parquet", ".bin")
"""Files that the hub keeps apart and names by their SHA-256."""

CALLS = re.compile(
    r"/api/repos/(?P<create>create)|/api/(?P<yaml>validate-yaml)|/lfs/(?P<oid>\w+)"
    r"|/api/models/(?P<name>[^/]+/[^/]+)/(?P<call>auth-check|preupload|commit)/\w+"
    r"|/(?P<git>[^/]+/[^/]+)\.git/info/lfs/objects/batch"
)


class Uploads(BaseHTTPRequestHandler):
    """The part of the server that takes files."""

    hub: Hub
    body: bytes

    def _send(self, status: int, content: bytes) -> None:
        raise NotImplementedError

    def _reply(self, values: Any, status: int = 200) -> None:
        self._send(status, json.dumps(values).encode())

    def read_body(self) -> bytes:
        """Return what a request brings, in one piece or in chunks."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def take(self, path: str) -> bool:
        """Answer a request of an upload; return whether it is one."""
        call = CALLS.fullmatch(path)
        if call is None:
            return False
        if call["oid"]:
            self._store(call["oid"])
        elif self._may_call():
            if call["yaml"]:
                self._check_card()
            elif call["create"]:
                self._create()
            elif call["git"]:
                self._name_places()
            elif self._may_write(call["name"]):
                getattr(self, f"_{call['call'].replace('-', '_')}")(call["name"])
        return True

    def _may_call(self) -> bool:
        """Return whether the token is right, or answer that it is not."""
        right = self.headers.get("Authorization") == f"Bearer {self.hub.token}"
        if not right:
            self._reply({"error": "Invalid username or password."}, 401)
        return right

    def _may_write(self, name: str) -> bool:
        """Return whether a repository takes files of this token, or answer why not."""
        if ("model", name) not in self.hub.repositories:
            self._reply({"error": "Repository not found"}, 404)
            return False
        if name.partition("/")[0] not in self.hub.writable:
            self._reply({"error": f"You have no write access to {name}"}, 403)
            return False
        return True

    def _create(self) -> None:
        order = json.loads(self.body)
        name = f"{order['organization']}/{order['name']}"
        if order["organization"] not in self.hub.writable:
            error = f"You don't have the rights to create a model under {order['organization']}"
            self._reply({"error": error}, 403)
        elif ("model", name) in self.hub.repositories:
            known = {"error": "You already created this model repo"}
            self._reply({**known, "url": f"{self.hub.address}/{name}"}, 409)
        else:
            self.hub.repository("model", name).commit({".gitattributes": b""})
            if order.get("visibility") == "private":
                self.hub.private.add(name)
            self._reply({"url": f"{self.hub.address}/{name}"})

    def _auth_check(self, _: str) -> None:
        self._reply({})

    def _check_card(self) -> None:
        """Answer whether the head of a README.md is YAML, as the hub does."""
        try:
            yaml.safe_load(json.loads(self.body)["content"].split("---")[1])
        except (IndexError, yaml.YAMLError) as error:
            self._reply({"errors": [{"message": str(error)}], "warnings": []}, 400)
        else:
            self._reply({"errors": [], "warnings": []})

    def _preupload(self, _: str) -> None:
        files = [
            {
                "path": each["path"],
                "uploadMode": "lfs" if each["path"].endswith(LARGE) else "regular",
                "shouldIgnore": False,
            }
            for each in json.loads(self.body)["files"]
        ]
        self._reply({"files": files})

    def _name_places(self) -> None:
        """Answer where each large file is to be put, but for those that are there."""
        objects = [
            each | {"actions": {"upload": {"href": f"{self.hub.address}/lfs/{each['oid']}"}}}
            if each["oid"] not in self.hub.large
            else each
            for each in json.loads(self.body)["objects"]
        ]
        self._reply({"objects": objects, "transfer": "basic"})

    def _store(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            self._reply({"error": "another SHA-256"}, 400)
            return
        self.hub.large[oid] = self.body
        self._reply({})

    def _commit(self, name: str) -> None:
        """Add the files of the lines of a commit to what the repository holds."""
        repository = self.hub.repositories["model", name]
        files = dict(repository.commits[repository.refs["main"]])
        for line in map(json.loads, self.body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
        oid = repository.commit(files)
        self._reply({"commitUrl": f"{self.hub.address}/{name}/commit/{oid}", "commitOid": oid})
