"""Reference text and docstrings that Python and installed packages carry: no download."""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from infinito.data.sources.docstrings import find_modules, read_sections
from infinito.data.sources.package_docs import (
    describe_versions,
    drop_near_repeats,
    find_package_modules,
    find_packages,
)
from infinito.data.sources.source import SPLITS, Split, TextSource, digest
from infinito.errors import DataError
from infinito.storage import locked, written_whole

EXTRACTION_VERSION = 1
MIN_DOCUMENT_CHARACTERS = 200
REPEATABLE_CHARACTERS = 40

Parts = Literal["topics", "docstrings", "both", "packages", "all"]
Section = tuple[str, str]


class PythonDocs(TextSource):
    """English reference text of the running Python: language topics and module docstrings.

    A document is one topic of `pydoc_data.topics` or the docstrings of one module, of the standard
    library or of a package, read from its source without importing it. A paragraph of 40 characters
    or more is kept only where it first occurs, longest document first, so that no two documents,
    and no two splits, share one. The split of a document is set by the hash of its name: the same
    topic is on the same side in every Python version.

    Args:
        parts: "topics", "docstrings" (of the standard library) or "both"; "packages" (docstrings
            of installed packages, near-duplicates dropped too) or "all".
        packages: import names of the packages; None for those that infinito knows and finds.
        valid_fraction: expected share of the documents in the validation split.
        test_fraction: expected share of the documents in the test split.
        max_bytes: upper limit of the text of all splits, by leaving out whole documents.
        cache_dir: folder for the extracted text; None extracts anew (a few seconds).

    Raises:
        DataError: a package that is named is not installed; when read, if this Python carries no
            such text.
    """

    name = "python_docs"
    licence = "PSF-2.0"

    def __init__(
        self,
        parts: Parts = "both",
        *,
        valid_fraction: float = 0.1,
        test_fraction: float = 0.1,
        max_bytes: int | None = None,
        cache_dir: Path | None = None,
        packages: Sequence[str] | None = None,
    ) -> None:
        self.parts = parts
        self.description = f"reference text of Python {sys.version.split()[0]} ({parts})"
        self.packages = find_packages(packages) if parts in {"packages", "all"} else {}
        if self.packages:
            self.description += f": {describe_versions(self.packages)}"
            self.licence = "PSF-2.0 and the licences of the packages"
        self.test_below = test_fraction
        self.valid_below = test_fraction + valid_fraction
        self.max_bytes = max_bytes
        self.cache_dir = cache_dir

    def documents(self, split: Split) -> Iterator[Iterable[str]]:
        if not self._by_split[split]:
            raise DataError(
                f"The {split} split of {self.description} has no document. Raise "
                "data.max_bytes or the fraction of the split, or use data=text."
            )
        for text in self._by_split[split]:
            yield (text,)

    def fingerprint(self, split: Split) -> str:
        return digest(self.name, self._by_split[split])

    def utf8_bytes(self, split: Split) -> int:
        return sum(len(text.encode()) for text in self._by_split[split])

    @cached_property
    def _by_split(self) -> dict[Split, list[str]]:
        by_split: dict[Split, list[str]] = {split: [] for split in SPLITS}
        total = 0
        for _, side, text in sorted((*_places(n), t) for n, t in self._named_texts().items()):
            total += len(text.encode())
            if self.max_bytes is not None and total > self.max_bytes:
                break
            is_test, is_train = side < self.test_below, side >= self.valid_below
            by_split["test" if is_test else "train" if is_train else "valid"].append(text)
        return by_split

    def _named_texts(self) -> dict[str, str]:
        if self.cache_dir is None:
            return self._extracted()
        target = self.cache_dir / "python_docs" / f"{self._key()}.json"
        if (cached := _read_checked(target)) is not None:
            return cached
        with locked(target):
            if (cached := _read_checked(target)) is not None:
                return cached
            texts = self._extracted()
            content = json.dumps(texts, ensure_ascii=False).encode()
            with written_whole(target) as file:
                file.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
            return texts

    def _key(self) -> str:
        modules = [*self._library_modules(), *find_package_modules(self.packages)]
        stats = [(name, p.stat().st_size, p.stat().st_mtime_ns) for name, p in modules]
        return digest(EXTRACTION_VERSION, self.parts, sys.version, stats)[:32]

    def _library_modules(self) -> list[tuple[str, Path]]:
        if self.parts in {"topics", "packages"}:
            return []
        return find_modules(Path(sysconfig.get_path("stdlib")))

    def _extracted(self) -> dict[str, str]:
        documents = {} if self.parts in {"docstrings", "packages"} else _topics()
        documents |= _documents(self._library_modules())
        kept = drop_repeats(documents)
        if self.packages:
            of_packages = _documents(find_package_modules(self.packages))
            new = drop_near_repeats(of_packages, earlier=list(kept.values()))
            kept |= drop_repeats(new, earlier=list(kept.values()))
        if kept:
            return kept
        raise DataError(
            f"This Python ({sys.executable}) carries no reference text ({self.parts}): expected "
            "pydoc_data.topics and the sources of the standard library or of packages. Use "
            "another text with data=text data.path=<file>."
        )


def drop_repeats(
    documents: dict[str, list[Section]], earlier: Sequence[str] = ()
) -> dict[str, str]:
    """Return the text of each document without paragraphs that a longer document has.

    Args:
        documents: name → sections, each a title, which may be empty, and a text.
        earlier: Texts that come before all documents.
    """
    sizes = {name: sum(len(text) for _, text in documents[name]) for name in documents}
    seen: set[str] = set()
    for text in earlier:
        _unseen(text, seen)
    kept = {}
    for name in sorted(documents, key=lambda name: (-sizes[name], name)):
        sections = [(title, _unseen(text, seen)) for title, text in documents[name]]
        text = "\n\n".join(part for s in sections if s[1] for part in s if part) + "\n"
        if len(text) >= MIN_DOCUMENT_CHARACTERS:
            kept[name] = text
    return kept


def _unseen(text: str, seen: set[str]) -> str:
    """Return the paragraphs whose words are not in `seen`, and adds them to it."""
    paragraphs = []
    for paragraph in text.strip().split("\n\n"):
        words = " ".join(paragraph.split())
        if len(words) < REPEATABLE_CHARACTERS or words not in seen:
            paragraphs.append(paragraph)
            seen.add(words)
    return "\n\n".join(paragraphs)


def _documents(modules: list[tuple[str, Path]]) -> dict[str, list[Section]]:
    return {f"module {name}": read_sections(path, name) for name, path in modules}


def _topics() -> dict[str, list[Section]]:
    try:
        topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    except ImportError:
        return {}
    return {f"topic {name}": [("", text)] for name, text in topics.items()}


def _places(name: str) -> tuple[float, float]:
    """Return two unrelated numbers in [0, 1) that depend on the name only: order and side."""
    order, side, *_ = np.frombuffer(hashlib.sha256(name.encode()).digest(), dtype=">u8") / 2**64
    return float(order), float(side)


def _read_checked(path: Path) -> dict[str, str] | None:
    if not path.is_file():
        return None
    recorded, _, content = path.read_bytes().partition(b"\n")
    if recorded.decode(errors="replace") != hashlib.sha256(content).hexdigest():
        return None
    texts: dict[str, str] = json.loads(content)
    return texts
