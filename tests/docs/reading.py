"""What the pages of the documentation ask a reader to type, save and run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import infinito

ROOT = Path(infinito.__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))

SHELL = "shell"
"""The language of an indented block."""

PROGRAM = {"infinito", "infinito.run"}
"""Words after which the arguments of this program stand."""

PLACEHOLDER = re.compile(r"<[a-z ,]+>")
"""What the reader is to fill in, such as <run>."""


@dataclass(frozen=True)
class Block:
    """A piece of a page that is set as code, with the language that its fence names."""

    language: str
    text: str


def name_page(page: Path) -> str:
    """Return the path of a page in the repository."""
    return page.relative_to(ROOT).as_posix()


def list_blocks(page: Path) -> Iterator[Block]:
    """Yield the code of a page; an indented block begins after an empty line."""
    language, block, before = "", list[str](), ""
    for line in [*page.read_text(encoding="utf-8").splitlines(), ""]:
        if line.startswith("```"):
            if language:
                yield Block(language, "\n".join([*block, ""]))
            language, block = "" if language else line.removeprefix("```") or "text", []
        elif language:
            block.append(line)
        elif line.startswith("    ") and (block or not before):
            block.append(line[4:])
        elif block:
            yield Block(SHELL, "\n".join([*block, ""]))
            block = []
        before = line


def list_commands(page: Path) -> list[str]:
    """Return the lines of a shell that a page shows, also inside sentences, in their order."""
    shown = [each.text for each in list_blocks(page) if each.language == SHELL]
    lines = "".join(shown).replace("\\\n", " ").splitlines()
    inline = re.findall(r"`(infinito [^`]+)`", page.read_text(encoding="utf-8"))
    return [line for line in [*lines, *inline] if line.strip()]


def find_arguments(command: str) -> list[str] | None:
    """Return the arguments of infinito in a command; None where it calls another program."""
    words = shlex.split(command, comments=True)
    if len({"|", ">"} & set(words)) or words[0] in {"eval", "pip"}:
        return None
    starts = [number for number, word in enumerate(words) if word in PROGRAM]
    return words[starts[0] + 1 :] if starts else None
