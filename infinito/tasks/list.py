"""`task=list`: experiments, models, attentions and the other groups, each with its line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from infinito.config import RunConf
from infinito.paths import conf_dir


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> None:
    """Prints every option of every group with the first comment of its file."""
    console = Console()
    for group in sorted(path for path in conf_dir().iterdir() if path.is_dir()):
        table = Table(
            title=f"{group.name}=…", title_justify="left", show_header=False, box=None, min_width=40
        )
        table.add_column(style="cyan", no_wrap=True)
        table.add_column()
        for path in sorted(group.glob("*.yaml")):
            table.add_row(path.stem, first_comment(path))
        if table.row_count:
            console.print(table)
            console.print()


def first_comment(path: Path) -> str:
    """The comment lines at the head of a YAML file, as one line."""
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            if lines:
                break
            continue
        if "@package" not in line:
            lines.append(line.lstrip("# ").strip())
    return " ".join(lines)
