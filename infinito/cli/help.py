"""The text of `--help`: what can be chosen, and every key with its value and its meaning.

Hydra's own help copies its whole configuration once for each group, which takes half a second.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import infinito
from infinito.cli.composition import compose_values, plain, searching
from infinito.cli.meanings import WIDEST, describe_values
from infinito.config import TASKS


def help_text(overrides: Sequence[str], folders: Sequence[Path], config_name: str) -> str:
    """Return the help for the configuration that these overrides make.

    Args:
        overrides: The command line's overrides, tidied.
        folders: Where configuration files lie, the last one winning.
        config_name: The primary configuration.

    Raises:
        ConfigError: the overrides make no configuration.
    """
    with searching(folders):
        composed = compose_values(config_name, overrides)
    width = min(WIDEST, shutil.get_terminal_size().columns)
    texts = composed.hydra.help
    return "\n".join(
        [
            texts.header,
            "== Tasks: choose with task=name ==",
            *(line for task in _tasks() for line in _wrapped(task, width)),
            "\n== Groups: choose with group=option ==",
            *(line for group in _groups(folders) for line in _wrapped(group, width)),
            "\n== Values: override with key=value ==",
            describe_values(plain(composed)),
            f"\n{texts.footer}",
        ]
    )


def summarise_task(name: str) -> str:
    """Return the first sentence of the docstring of a task's module, without the task's name."""
    path = Path(infinito.__file__).parent / f"tasks/{name}.py"  # read: an import loads torch
    head = path.read_text(encoding="utf-8").partition('"""')[2].partition('"""')[0]
    return " ".join(head.split("\n\n")[0].split()).partition("`: ")[2]


def _tasks() -> Iterator[str]:
    for name in TASKS:
        yield f"{name}: {summarise_task(name)}"


def _groups(folders: Sequence[Path]) -> Iterator[str]:
    options: dict[str, set[str]] = {}
    for folder in folders:
        for file in folder.glob("*/**/*.yaml"):
            group = file.parent.relative_to(folder).as_posix()
            options.setdefault(group, set()).add(file.stem)
    for group in sorted(options):
        yield f"{group}: {', '.join(sorted(options[group]))}"


def _wrapped(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width, subsequent_indent="  ", break_on_hyphens=False)
