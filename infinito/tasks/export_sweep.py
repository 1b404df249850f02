"""`task=export_sweep`: write sweeps as Optuna studies, for its dashboard and plots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from infinito.config import RunConf
from infinito.run_folder.commands import quote_word
from infinito.run_folder.tables import print_next
from infinito.sweeps.record.optuna_study import export_study


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> None:
    """Write optuna.db into each folder of `runs`, in place of an earlier export.

    Raises:
        ConfigError: Optuna is not installed.
        ResumeError: One of the folders holds no sweep, or its journal is damaged.
        SaveError: A file cannot be written.
    """
    console = Console(soft_wrap=True, highlight=False)
    commands = []
    for sweep in map(Path, conf.runs):
        with console.status(f"exporting {escape(str(sweep))}"):
            target = export_study(sweep)
        console.print(str(target), markup=False)
        commands.append((f"optuna-dashboard {quote_word(f'sqlite:///{target}')}", "plots"))
    print_next(console, commands)
