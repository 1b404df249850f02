"""The files around the package agree with it: version, CI, typing markers, imports and extras."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import infinito

ROOT = Path(infinito.__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def jobs_of(workflow: Path) -> dict[str, Any]:
    return yaml.safe_load(workflow.read_text(encoding="utf-8"))["jobs"]


def test_the_version_is_that_of_changelog_and_citation() -> None:
    released = re.search(r"^## (\S+)(?: – (.*))?$", read("CHANGELOG.md"), re.MULTILINE)
    assert released is not None
    assert released[1] == infinito.__version__.removesuffix(".dev0")
    assert (released[2] == "unreleased") == infinito.__version__.endswith(".dev0")
    assert yaml.safe_load(read("CITATION.cff"))["version"] == infinito.__version__
    assert "version" not in PYPROJECT["project"]


@pytest.mark.parametrize(
    "package", ["infinito", "hydra_plugins/infinito_mcts", "hydra_plugins/infinito_ray"]
)
def test_annotations_are_offered_to_type_checkers(package: str) -> None:
    assert (ROOT / package / "py.typed").read_bytes() == b""


def test_ci_runs_every_python_that_the_package_allows() -> None:
    allowed = PYPROJECT["project"]["requires-python"]
    assert allowed == ">=3.11,<3.14"
    pinned = jobs_of(ROOT / ".github/workflows/ci.yml")["pinned"]
    assert pinned["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_commands_of_workflows_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    commands = [
        step["run"] for job in jobs_of(path).values() for step in job["steps"] if "run" in step
    ]
    assert commands
    for command in commands:
        program, *arguments = command.split()
        if program == "make":
            assert arguments[0] in targets
        elif program.startswith(".ci/"):
            assert (ROOT / program).stat().st_mode & 0o111


def test_targets_of_the_makefile_are_phony_and_explained() -> None:
    text = read("Makefile")
    phony = set(text.split(".PHONY:")[1].splitlines()[0].split())
    assert phony == set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))
