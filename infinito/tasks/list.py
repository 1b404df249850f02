"""`task=list`: tasks, the options of every group, and what can be installed, a line each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.text import Text

from infinito.cli.help import summarise_task
from infinito.config import TASKS, RunConf
from infinito.paths import conf_dir

_REQUIREMENT = re.compile(r"([\w.-]+).*extra == ['\"](\w+)['\"]")


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> None:
    """Print every task and every option with what it is for, cut to the width of the screen."""
    console = Console()
    print_lines(console, "task=…", {name: summarise_task(name) for name in sorted(TASKS)})
    groups: dict[str, dict[str, str]] = {}
    for path in sorted(conf_dir().glob("*/**/*.yaml")):
        group = path.parent.relative_to(conf_dir()).as_posix()
        groups.setdefault(group, {})[path.stem] = first_comment(path)
    for group, options in sorted(groups.items()):
        print_lines(console, f"{group}=…", options)
    if extras := dict(installable_extras()):
        print_lines(console, "pip install 'infinito[…]'", extras)


def print_lines(console: Console, title: str, lines: Mapping[str, str]) -> None:
    """Print a heading and a line for each name; a text too long for the screen ends in `…`."""
    console.print(title, markup=False, highlight=False)
    longest = max(map(len, lines))
    for name, text in lines.items():
        line = Text.assemble("  ", (name.ljust(longest), "cyan"), "  ", text)
        console.print(line, no_wrap=True, overflow="ellipsis")
    console.print()


def first_comment(path: Path) -> str:
    """Return the comment lines at the head of a YAML file, as one line."""
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            if lines:
                break
            continue
        if "@package" not in line:
            lines.append(line.lstrip("# ").strip())
    return " ".join(lines)


def installable_extras() -> Iterator[tuple[str, str]]:
    """Yield each extra of the installed package with its requirements and whether they are here."""
    try:
        requirements = metadata.requires("infinito") or []
    except metadata.PackageNotFoundError:  # a bare checkout
        return
    packages: dict[str, list[str]] = {}
    for requirement in requirements:
        if (match := _REQUIREMENT.match(requirement)) and match[2] != "dev":
            packages.setdefault(match[2], []).append(match[1])
    for extra, names in sorted(packages.items()):
        missing = [name for name in names if not _is_installed(name)]
        state = f"{', '.join(missing)} not installed" if missing else "installed"
        yield extra, f"{', '.join(names)} ({state})"


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
