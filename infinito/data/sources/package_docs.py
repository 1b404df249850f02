"""Docstrings of the installed packages that infinito itself needs, without near-duplicates."""

from __future__ import annotations

import importlib.util
import zlib
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

from infinito.data.sources.docstrings import find_modules
from infinito.errors import DataError

PACKAGES = (
    "datasets",
    "gymnasium",
    "lightning",
    "matplotlib",
    "networkx",
    "numpy",
    "optuna",
    "pandas",
    "peft",
    "scipy",
    "stable_baselines3",
    "sympy",
    "torch",
    "transformers",
)
"""Read where they are installed. All are requirements of infinito or of those."""

SHINGLE_WORDS = 5
MOST_REPEATED = 0.8
"""Share of a paragraph's shingles that other documents may have before it is dropped."""

_Section = tuple[str, str]


def find_packages(names: Sequence[str] | None) -> dict[str, Path]:
    """Return the folder of each package, found without importing it.

    Args:
        names: Import names; None for those of `PACKAGES` that are installed.

    Raises:
        DataError: a package that is named is not installed, or is no folder of Python files.
    """
    folders = {
        name: _find_folder(name) for name in sorted(set(PACKAGES if names is None else names))
    }
    missing = [name for name, folder in folders.items() if folder is None]
    if names is not None and missing:
        raise DataError(
            f"data.packages names {', '.join(missing)}, which this Python has not installed as a "
            f"package. Leave it out, install it, or use data.packages=null for those that are here."
        )
    return {name: folder for name, folder in folders.items() if folder is not None}


def describe_versions(packages: Mapping[str, Path]) -> str:
    """Return the packages with their versions, e.g. "numpy 2.4.6, torch 2.13.0"."""
    distributions = metadata.packages_distributions()
    return ", ".join(
        f"{name} {metadata.version(distributions[name][0])}" if name in distributions else name
        for name in packages
    )


def find_package_modules(packages: Mapping[str, Path]) -> list[tuple[str, Path]]:
    """Return (dotted name, file) of every module of the packages, tests left out."""
    return [
        module for folder in packages.values() for module in find_modules(folder, folder.parent)
    ]


def drop_near_repeats(
    documents: Mapping[str, Sequence[_Section]], earlier: Sequence[str] = ()
) -> dict[str, list[_Section]]:
    """Return the documents without paragraphs that say what a longer document says.

    A shingle is five consecutive words. A paragraph goes when 80 % of its shingles, or more, stand
    in documents before it: classes of a family differ by a name and a number. Paragraphs of fewer
    than five words stay.

    Args:
        documents: name → sections, each a title and a text.
        earlier: Texts that come before all documents.

    Source: containment of shingles, Broder, "On the resemblance and containment of documents",
        1997; all shingles are kept (as 32-bit checksums), where Broder samples them.
    """
    seen: set[int] = set()
    for text in earlier:
        for paragraph in text.split("\n\n"):
            seen.update(_shingles(paragraph))
    sizes = {name: sum(len(text) for _, text in documents[name]) for name in documents}
    kept = {}
    for name in sorted(documents, key=lambda name: (-sizes[name], name)):
        own: set[int] = set()
        sections = [(title, _unseen(text, seen, own)) for title, text in documents[name]]
        seen |= own
        kept[name] = sections
    return kept


def _unseen(text: str, seen: set[int], own: set[int]) -> str:
    """Return the paragraphs that are new, and add their shingles to `own`."""
    paragraphs = []
    for paragraph in text.strip().split("\n\n"):
        shingles = _shingles(paragraph)
        if shingles and len(shingles & seen) >= MOST_REPEATED * len(shingles):
            continue
        own |= shingles
        paragraphs.append(paragraph)
    return "\n\n".join(paragraphs)


def _shingles(paragraph: str) -> set[int]:
    words = paragraph.split()
    return {
        zlib.crc32(" ".join(words[start : start + SHINGLE_WORDS]).encode("utf-8", "surrogatepass"))
        for start in range(len(words) - SHINGLE_WORDS + 1)
    }


def _find_folder(name: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
    except (ImportError, ValueError):
        return None
    locations = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(locations[0]) if locations else None
