"""`task=search_report`: write the report of sweeps anew, finished or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from infinito.config import RunConf
from infinito.sweeps.report.page import write_report


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> None:
    """Write report.html and pictures into each folder of `runs`.

    Raises:
        ResumeError: One of the folders holds no sweep, or its journal is damaged.
    """
    console = Console(soft_wrap=True, highlight=False)
    for sweep in conf.runs:
        with console.status("writing the page"):
            page = write_report(Path(sweep))
        console.print(str(page), markup=False)
