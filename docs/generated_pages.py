"""Hooks of MkDocs that make pages from the code: settings, tasks, and a page for each study.

What stands in a schema or in a study's README is not written a second time in `docs/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from infinito.cli.help import summarise_task
from infinito.cli.meanings import list_sections
from infinito.cli.read_by import ALL, READ_BY, keys
from infinito.config import TASKS
from infinito.tasks.list import first_comment

ROOT = Path(__file__).resolve().parent.parent
STUDIES = ROOT / "experiments"
PICTURES = {".png", ".svg"}
SECTIONS = sorted({key.partition(".")[0] for key in ALL if "." in key})
LONGEST = 60
"""Characters of a default that a table shows."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from the code."""
    pages = {
        "reference/configuration.md": describe_configuration(),
        "reference/tasks.md": describe_tasks(),
        **dict(describe_studies()),
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    for picture in sorted(STUDIES.rglob("*")):
        if picture.suffix in PICTURES:
            name = f"studies/{picture.relative_to(STUDIES).as_posix()}"
            files.append(File.generated(config, name, content=picture.read_bytes()))
    return files


def describe_configuration() -> str:
    """Return the page of every key, with its default and its meaning."""
    lines = [
        "# Configuration",
        "",
        "Every key, its default, and what it means. `infinito --help` prints the same for the",
        "command that stands behind it, and `infinito --cfg job` its values. An experiment",
        "(`+experiment=…`) changes some of the defaults.",
        "",
    ]
    for title, summary, entries in list_sections():
        if not entries:
            continue
        lines += [
            f"## {title or 'A run'}",
            "",
            summary,
            "",
            "| key | default | meaning |",
            "|---|---|---|",
        ]
        lines += [
            f"| `{key}` | {_format_default(value)} | {_cell(meaning)} |"
            for key, value, meaning in entries
        ]
        lines.append("")
    return "\n".join([*lines, "Next: [what each task reads](tasks.md).", ""])


def describe_tasks() -> str:
    """Return the page of tasks, experiments and searches, a line each."""
    lines = [
        "# Tasks",
        "",
        "`task=` says what a command does; an experiment says with which settings. A key that a",
        "task does not read is refused.",
        "",
        "| task | what it does |",
        "|---|---|",
        *(f"| `task={name}` | {_cell(summarise_task(name))} |" for name in TASKS),
    ]
    for group, heading in (("experiment", "Experiments"), ("search", "Searches")):
        flag = "-m " if group == "search" else ""
        lines += ["", f"## {heading}", "", f"| `{flag}+{group}=` | what it is for |", "|---|---|"]
        for path in sorted((ROOT / "conf" / group).glob("*.yaml")):
            lines.append(f"| `{path.stem}` | {_cell(first_comment(path))} |")
    lines += ["", "## What each task reads", "", *tabulate_readings(), ""]
    return "\n".join([*lines, "", "Next: [all settings](configuration.md).", ""])


def tabulate_readings() -> Iterator[str]:
    """Yield the lines of a table: how many keys of each section a task reads."""
    sections = [name for name in SECTIONS if name]
    yield "A number says how many keys of a section a task reads, a tick that it reads all."
    yield ""
    yield f"| task | {' | '.join(f'`{name}`' for name in sections)} |"
    yield "|---" * (len(sections) + 1) + "|"
    for row, reading in READ_BY.items():
        cells = []
        for name in sections:
            known = keys(name)
            count = len(known & reading)
            cells.append("✓" if count == len(known) else str(count or ""))
        yield f"| {row} | {' | '.join(cells)} |"


def describe_studies() -> Iterator[tuple[str, str]]:
    """Yield a page for each study from its README, and the page that lists them."""
    index = (STUDIES / "README.md").read_text(encoding="utf-8")
    index = re.sub(r"\((\w+)/README\.md\)", r"(\1.md)", index).replace(
        "# Experiments", "# Studies", 1
    )
    yield (
        "studies/index.md",
        f"{index}\nNext: [every claim has a control](../explanation/controls.md).\n",
    )
    for readme in sorted(STUDIES.glob("*/README.md")):
        name = readme.parent.name
        yield f"studies/{name}.md", _move_links(readme.read_text(encoding="utf-8"), name)


def _move_links(text: str, study: str) -> str:
    """Return a README with its links changed to where pages and pictures lie in the site."""

    def move(match: re.Match[str]) -> str:
        mark, label, target = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        path = (STUDIES / study / target.partition("#")[0]).resolve()
        place = (
            path.relative_to(STUDIES.resolve()) if path.is_relative_to(STUDIES.resolve()) else None
        )
        if place is not None and path.suffix in PICTURES:
            return f"{mark}[{label}]({place.as_posix()})"
        if place is not None and (path.is_dir() or path.name == "README.md"):
            return f"{mark}[{label}]({place.parts[0]}.md)"
        return f"{label} (`{target}`)"  # a file of the repository that the site does not carry

    moved = re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", move, text)
    return f"{moved}\nNext: [all studies](index.md).\n"


def _format_default(value: Any) -> str:
    if value is None:
        return "`null`"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    shown = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return f"`{_cell(shown)}`" if shown else "empty"


def _cell(text: str) -> str:
    """Return text for a cell of a table, with bars and angle brackets escaped."""
    return text.replace("|", "\\|").replace("<", "&lt;")
