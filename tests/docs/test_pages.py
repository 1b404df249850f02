"""Pages of the documentation: commands are real, snippets run, links lead somewhere."""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

from infinito.cli import composition
from infinito.cli.command_line import split_flags, tidy_override
from infinito.errors import InfinitoError
from infinito.paths import conf_dir
from tests.docs.reading import (
    NOTEBOOKS,
    PAGES,
    PLACEHOLDER,
    ROOT,
    SHELL,
    find_arguments,
    list_blocks,
    list_commands,
    name_page,
)

ABSENT = "to-be-filled-in"
LEAST_COMMANDS = 100

COMMANDS = {
    f"{name_page(page)}: {' '.join(words)}": words
    for page in PAGES
    for command in list_commands(page)
    if (words := find_arguments(re.sub(rf"{PLACEHOLDER.pattern}|\blast\b", ABSENT, command)))
}

NEEDS = re.compile("openai|<run>")
"""Snippets that need a server or a run: `test_commands.py` has both."""

LANGUAGES = {SHELL, "python", "json", "yaml"}
"""Those for which a test does what a reader would do."""


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


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_every_block_is_of_a_kind_that_a_test_reads(page: Path) -> None:
    assert {block.language for block in list_blocks(page)} <= LANGUAGES


SNIPPETS = [
    (page, number, block.text)
    for page in PAGES
    for number, block in enumerate(list_blocks(page))
    if block.language == "python" and not NEEDS.search(block.text)
]


@pytest.mark.parametrize(
    ("page", "snippet"),
    [(page, text) for page, _, text in SNIPPETS],
    ids=[f"{name_page(page)}-{number}" for page, number, _ in SNIPPETS],
)
def test_snippets_run(
    page: Path, snippet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    exec(compile(snippet, name_page(page), "exec"), {})


@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=name_page)
def test_notebooks_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert code
    namespace: dict[str, Any] = {}
    for number, cell in enumerate(code):
        exec(compile(cell, f"{path.name}, cell {number}", "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_every_page_says_where_to_go_on(page: Path) -> None:
    assert re.search(
        r"^(Next: |Where to go on: )|LICENSE|licence", page.read_text("utf-8"), re.MULTILINE
    )


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_words_of_infinito_mean_the_same_in_every_shell(page: Path) -> None:
    """zsh ends a command that has an unquoted `*` or `[` which matches no file."""
    commands = [each.partition(" #")[0] for each in list_commands(page) if "infinito " in each]
    bare = [re.sub(r"'[^']*'|\"[^\"]*\"", "", each) for each in commands]
    assert not [each for each in bare if set(each) & set("*[?")]


def test_what_is_installed_is_an_extra_or_belongs_to_one() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    packages = {re.split("[<>=[]", each)[0] for group in extras.values() for each in group}
    text = "".join(page.read_text("utf-8") for page in PAGES)
    named = set(re.findall(r"pip install (?:-\S+ \S+ )*(?:-e )?([^\s`]+)", text))
    assert {"hydra-submitit-launcher", "'infinito[serve]'"} <= named
    for each in named:
        extra = re.fullmatch(r"'(?:infinito|\.)\[(\w+)\]'", each)
        assert (extra is not None and extra[1] in extras) or each in packages


def test_targets_of_make_are_there() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    text = "".join(page.read_text("utf-8") for page in PAGES)
    assert {"run", "test", "setup"} <= set(re.findall(r"(?:^ {4}|`)make ([a-z]+)", text, re.M))
    assert set(re.findall(r"(?:^ {4}|`)make ([a-z]+)", text, re.MULTILINE)) <= set(targets)


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
