"""Docstrings of Python source files, read from their syntax trees without importing anything."""

from __future__ import annotations

import ast
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

SKIPPED_FOLDERS = {
    "__pycache__",
    "dist-packages",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "pydoc_data",
    "site-packages",
    "test",
    "tests",
    "turtledemo",
}

_Documented = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def find_modules(library: Path, root: Path | None = None) -> list[tuple[str, Path]]:
    """Return (dotted name, file) of every module under `library`, sorted, tests left out.

    Args:
        library: Folder of modules and packages.
        root: Where dotted names begin; None for `library`.
    """
    root = root or library
    found = []
    for folder, subfolders, names in os.walk(library):
        subfolders[:] = [n for n in subfolders if n not in SKIPPED_FOLDERS and "-" not in n]
        paths = [Path(folder, name) for name in names if name.endswith(".py")]
        found += [(_module_name(path.relative_to(root)), path) for path in paths]
    return sorted(found)


def read_sections(path: Path, name: str) -> list[tuple[str, str]]:
    """Return (dotted name, docstring) of a module, its classes and its functions, in source order.

    A file that this Python cannot parse has none.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old escapes in sources are not the user's concern
            tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    members = list(_members(name, tree))
    text = ast.get_docstring(tree)
    return [(name, text), *members] if text else members


def _members(prefix: str, parent: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, _Documented):
            title = f"{prefix}.{node.name}"
            if text := ast.get_docstring(node):
                yield title, text
            yield from _members(title, node)
        elif isinstance(node, ast.If | ast.Try):
            yield from _members(prefix, node)


def _module_name(relative: Path) -> str:
    return ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
