"""What a hub holds, and what it can do wrong."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Repository:
    """A model or data set: the files of each commit, and the names of commits."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, files: Mapping[str, bytes], branch: str = "main") -> str:
        """Add a commit to a branch; return its hash."""
        content = json.dumps([len(self.commits), *sorted(files)]).encode() + b"".join(
            files[name] for name in sorted(files)
        )
        name = hashlib.sha1(content).hexdigest()
        self.commits[name] = dict(files)
        self.refs[branch] = name
        return name

    def find(self, revision: str) -> str | None:
        """Return the commit that a revision names."""
        return revision if revision in self.commits else self.refs.get(revision)


@dataclass
class Fault:
    """What the hub does wrong with the requests whose path contains `on`."""

    on: str
    status: int | None = None
    """Answer with it instead."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """Answer with it instead."""
    stall_after: int | None = None
    """Send so many bytes and then none."""
    drop_after: int | None = None
    """Send so many bytes and close."""
    method: str = ""
    """Only requests of this method; "" for all."""
    times: int = 1_000
    """Do so for the first so many requests."""
