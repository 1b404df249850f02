"""Imports run one way, between folders and inside them, and nothing heavy comes before a job."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import infinito

PACKAGE = Path(infinito.__file__).parent
PLUGINS = PACKAGE.parent / "hydra_plugins"

LAYERS = (
    {"errors", "wording", "seeding", "statistics", "sign_of_life"},
    {"config"},
    {"paths", "storage", "hub", "device", "launcher", "process", "yaml_limits", "extras"},
    {"search", "objectives", "attention", "run_folder"},
    {"cli"},
    {"pages"},
    {"models", "sweeps"},
    {"data"},
    {"training"},
    {"preferences", "rl"},
    {"pipeline", "chat"},
    {"serving"},
    {"tasks"},
    {"run"},
    {"library", "__main__"},
    {"hydra_plugins"},
)
"""Who may import whom: a room imports rooms of the layers above it here."""

LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}

GROUND = LAYERS[0] | LAYERS[2]
"""What may also import each other."""

SIBLINGS = {("cli", "run_folder"), ("objectives", "attention"), ("training", "run_folder")}
"""Arrows inside a layer that are allowed all the same."""

PLUGIN_MAY = {"sweeps"}
"""All that `hydra_plugins` may import of infinito."""


def modules() -> dict[str, Path]:
    """Every module of the package and of the plug-in, by its dotted name."""
    paths = [*PACKAGE.rglob("*.py"), *PLUGINS.rglob("*.py")]
    named = {}
    for path in paths:
        parts = list(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


def imported(path: Path, known: dict[str, Path], *, at_start: bool = False) -> Iterator[str]:
    """Our modules that a file imports; `at_start` leaves out what functions import when called."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if at_start else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found = name if name in known else node.module
                if found in known:
                    yield found
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)


def room(name: str) -> str:
    """The folder or file of the first floor that a module belongs to."""
    parts = name.split(".")
    return parts[0] if parts[0] != "infinito" or len(parts) == 1 else parts[1]


def test_no_import_runs_back_up_or_between_siblings() -> None:
    known = modules()
    forbidden = set()
    for name, path in known.items():
        for other in imported(path, known):
            here, there = room(name), room(other)
            if here == there or "infinito" in {here, there}:  # its names load late
                continue
            inside = LEVEL[here] == LEVEL[there] and here in GROUND
            downward = LEVEL[there] < LEVEL[here]
            if not (downward or inside or (here, there) in SIBLINGS):
                forbidden.add(f"{name} imports {other}")
            if here == "hydra_plugins" and there not in PLUGIN_MAY:
                forbidden.add(f"{name} imports {other}: it may import {PLUGIN_MAY} only")
    assert not forbidden, "\n".join(sorted(forbidden))


def test_no_circle_of_files() -> None:
    known = modules()
    arrows = {
        name: {other for other in imported(path, known, at_start=True) if other != name}
        for name, path in known.items()
    }
    settled: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, "circle: " + " → ".join((*trail[trail.index(name) :], name))
        if name in settled:
            return
        for other in arrows[name]:
            visit(other, (*trail, name))
        settled.add(name)

    for name in arrows:
        visit(name, ())


def test_every_room_has_a_layer() -> None:
    assert {room(name) for name in modules()} - {"infinito"} == set(LEVEL)


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
