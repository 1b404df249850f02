"""Pages of the documentation: commands are real, snippets run, links lead somewhere."""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import infinito
from infinito.cli import composition
from infinito.cli.command_line import split_flags, tidy_override
from infinito.errors import InfinitoError
from infinito.paths import conf_dir

ROOT = Path(infinito.__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
STARTS = ("infinito ", "python -m infinito.run ", "torchrun ")
PLACEHOLDER = re.compile(r"<[^<>]+>|\blast\b")
ABSENT = "to-be-filled-in"
LEAST_COMMANDS = 60


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name_page(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def list_commands(page: Path) -> Iterator[list[str]]:
    """Yield the arguments of each command of a page, with a name in place of each placeholder."""
    for line in read(page).splitlines():
        if not line.startswith(("    ", "\t")) or not line.strip().startswith(STARTS):
            continue
        words = shlex.split(PLACEHOLDER.sub(ABSENT, line), comments=True)
        start = 1 + next(n for n, word in enumerate(words) if word in {"infinito", "infinito.run"})
        yield words[start:]


COMMANDS = {
    f"{name_page(page)}: {' '.join(words)}": words
    for page in PAGES
    for words in list_commands(page)
}


def list_snippets(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", read(page), re.DOTALL)


def test_pages_have_commands() -> None:
    assert len(COMMANDS) >= LEAST_COMMANDS


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_commands_compose(words: list[str]) -> None:
    """Keys, options and their combinations are those of the program; files need not be there."""
    flags, overrides = split_flags(words, argparse.ArgumentParser())
    if set(flags) - {"-m"} or not overrides:
        return
    tidied = [tidy_override(each, "-m" in flags) for each in overrides]
    fault = None
    try:
        composition.check(tidied, conf_dir(), sweep="-m" in flags)
    except InfinitoError as error:
        fault = str(error)
    # what the reader is to fill in is not there, nor need a dashboard be installed
    assert fault is None or ABSENT in fault or "not installed: `pip install" in fault


@pytest.mark.parametrize(
    ("page", "number"),
    [(page, n) for page in PAGES for n in range(len(list_snippets(page)))],
    ids=lambda value: name_page(value) if isinstance(value, Path) else str(value),
)
def test_snippets_run(
    page: Path, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    exec(compile(list_snippets(page)[number], name_page(page), "exec"), {})


@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_page)
def test_notebooks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    cells = json.loads(read(path))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert code
    namespace: dict[str, Any] = {}
    for number, cell in enumerate(code):
        exec(compile(cell, f"{path.name}, cell {number}", "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_every_page_says_where_to_go_on(page: Path) -> None:
    assert re.search(r"^(Next: |Where to go on: )|LICENSE|licence", read(page), re.MULTILINE)


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs infinito[docs]")
def test_generated_pages_describe_the_program() -> None:
    spec = importlib.util.spec_from_file_location("pages", ROOT / "docs/generated_pages.py")
    assert spec is not None
    assert spec.loader is not None
    pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pages)
    configuration = pages.describe_configuration()
    assert "| `optimizer.lr` |" in configuration
    assert "## data=text" in configuration
    assert "| `task=evaluate` | " in pages.describe_tasks()
    studies = dict(pages.describe_studies())
    assert "studies/attention_quality.md" in studies
    assert "](attention_quality.md)" in studies["studies/index.md"]
