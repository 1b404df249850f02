"""Tells hub names from folders, and says what is wanted of the hub and by which key."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FILE_SUFFIXES = (".json", ".jsonl", ".parquet", ".arrow", ".gz", ".csv", ".txt")
"""Ends of names that are files, whether or not they are there."""


def names_a_folder(name: str) -> bool:
    """Return whether `name` is a path, present or not, rather than a hub id (`owner/name`)."""
    looks_local = name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name
    return looks_local or Path(name).exists()


def is_hub_id(name: str) -> bool:
    """Return whether `name` can only be an id of the hub: no path, and no name of a file."""
    return not names_a_folder(name) and not name.lower().endswith(FILE_SUFFIXES)


def is_commit(revision: str | None) -> bool:
    """Return whether a revision is a commit's full hash, which no branch or tag can change."""
    return revision is not None and re.fullmatch("[0-9a-f]{40}", revision) is not None


@dataclass(frozen=True)
class Wanted:
    """A repository of the hub, and the key of the configuration that names it."""

    name: str
    """Its id."""
    revision: str | None = None
    """Branch, tag or commit; None for its main branch."""
    kind: str = "model"
    """"model" or "dataset"; a tokenizer lies in a model."""
    what: str = "model"
    """What it is, for messages."""
    key: str = "model.path"
    """The key that names it."""
    local: str = "<folder>"
    """What the key takes instead of an id."""

    @property
    def revision_key(self) -> str:
        """The key that chooses its revision."""
        return self.key.removesuffix("path") + "revision"

    @property
    def mend(self) -> str:
        """The override that needs no hub."""
        return f"{self.key}={self.local}"

    @property
    def page(self) -> str:
        """Its address for a browser."""
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/{'datasets/' if self.kind == 'dataset' else ''}{self.name}"
