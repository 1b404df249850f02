"""Imports run one way, and nothing heavy is imported before a job starts."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import infinito

PACKAGE = Path(infinito.__file__).parent

LAYERS = (
    {"errors", "__init__"},
    {"config", "seeding", "paths", "storage", "process", "device", "hub"},
    {"cli", "run_folder", "attention", "objectives", "search"},
    {"models"},
    {"data", "training", "preferences", "rl", "sweeps", "tasks"},
    {"run"},
)
"""Who may import whom: a module imports only its own layer and those above it here."""

LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def own_imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("infinito"):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=str)
def test_imports_run_one_way(path: Path) -> None:
    relative = path.relative_to(PACKAGE)
    name = relative.parts[0].removesuffix(".py")
    for other in own_imports(path):
        if other in LEVEL:
            assert LEVEL[other] <= LEVEL[name], f"{name} imports {other}"


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"], ["modle=3"]])
def test_nothing_heavy_is_imported_before_a_job(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from infinito.run import main\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'lightning', 'transformers', 'numpy', 'scipy', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.stderr.splitlines()[-1] == "[]"
