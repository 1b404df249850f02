"""The table over the runs of a plain sweep."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infinito.run_folder.commands import build_command, quote_word, shows_in_tensorboard
from infinito.run_folder.tables import print_next
from infinito.sweeps.record.run_folders import list_run_folders
from infinito.sweeps.report.live_table import shorten_names
from infinito.wording import format_value
from infinito.yaml_limits import load_yaml


def print_run_table(folder: Path, swept: Sequence[str]) -> None:
    """Print the values that a sweep gave each run and its score, and what can be done next.

    Args:
        folder: The sweep's.
        swept: Keys and groups that differ between the runs.
    """
    runs = list_run_folders(folder)
    if not runs:
        return
    console = Console(highlight=False)
    values = [_read_values(run) for run in runs]
    scores = [_read_score(run, each.get("score")) for run, each in zip(runs, values, strict=True)]
    names = sorted({str(each.get("score")) for each in values})
    console.print(
        f"\n[bold]sweep of {len(runs)} runs[/]", f"[dim]{escape(str(folder))}[/]", soft_wrap=True
    )
    table = Table(box=None, pad_edge=False)
    for column in ("run", *shorten_names(swept), " / ".join(names)):
        table.add_column(column, overflow="fold")
    for run, overrides, score in zip(runs, map(_read_overrides, runs), scores, strict=True):
        cells = [overrides.get(key, "") for key in swept]
        table.add_row(run.name, *map(escape, cells), "–" if score is None else format_value(score))
    console.print(table)
    if len(runs) > 1 and all(score is not None for score in scores):
        print_next(
            console,
            [
                (
                    build_command({"task": "compare", "runs": [folder]}),
                    "means, intervals and tests; seeds put together",
                ),
                *(
                    [(f"tensorboard --logdir {quote_word(str(folder))}", "curves of all runs")]
                    if all(map(shows_in_tensorboard, values))
                    else []
                ),
            ],
        )


def _read_values(run: Path) -> dict[str, Any]:
    return OmegaConf.to_container(load_yaml(run / "config.yaml"))  # type: ignore[return-value]


def _read_overrides(run: Path) -> dict[str, str]:
    """Return the values of a run's overrides by their keys."""
    path = run / "overrides.yaml"
    listed: Any = load_yaml(path) if path.is_file() else []
    pairs = (str(text).lstrip("+").partition("=") for text in listed)
    return {key: value for key, _, value in pairs}


def _read_score(run: Path, name: Any) -> float | None:
    """Return the run's score, or None where it has not finished."""
    try:
        value = json.loads((run / "summary.json").read_text(encoding="utf-8")).get(name)
    except (OSError, ValueError, AttributeError):
        return None
    return value if isinstance(value, int | float) else None
