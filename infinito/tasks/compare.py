"""`task=compare`: what differs between runs, in configuration and in result, seeds put together."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats

from infinito.config import RunConf
from infinito.errors import CheckpointError
from infinito.run_folder.folder import difference, saved_values
from infinito.wording import format_value

METRICS = (
    "val/loss",
    "val/perplexity",
    "val/bits_per_byte",
    "val/word_perplexity",
    "held_out/margin",
    "held_out/accuracy",
)
IGNORED = ("seed", "name", "resume", "dry_run", "runs_dir")


@dataclass(frozen=True)
class Finished:
    """A finished run: its folder, configuration and results."""

    folder: Path
    values: dict[str, Any]
    summary: dict[str, Any]


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> None:
    """Prints the differences and, for each metric, mean, interval over seeds and Welch's test."""
    console = Console()
    groups = grouped([opened(Path(each)) for each in conf.runs])
    labels = [chr(ord("A") + index) for index in range(len(groups))]
    _print_groups(console, labels, groups)
    _print_differences(console, labels, groups)
    _print_metrics(console, labels, groups)


def opened(folder: Path) -> Finished:
    """A finished run.

    Raises:
        CheckpointError: no run folder, or the run has not finished.
    """
    values = saved_values(folder)
    path = folder / "summary.json"
    if not path.is_file():
        raise CheckpointError(
            f"{folder} holds no summary.json: the run has not finished. "
            f"Go on with it by `resume={folder}`"
        )
    return Finished(folder, values, json.loads(path.read_text(encoding="utf-8")))


def grouped(runs: Sequence[Finished]) -> list[list[Finished]]:
    """Runs put together that differ in nothing but the seed, in order of appearance."""
    groups: dict[str, list[Finished]] = defaultdict(list)
    for each in runs:
        kept = {key: value for key, value in each.values.items() if key not in IGNORED}
        groups[json.dumps(kept, sort_keys=True)].append(each)
    return list(groups.values())


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Mean and half-width of its t interval; the half-width is NaN for one value."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, math.nan
    spread = stats.sem(values)
    return mean, float(spread * stats.t.ppf((1 + level) / 2, len(values) - 1))


def verdict(first: Sequence[float], second: Sequence[float]) -> str:
    """Welch's test of the difference second − first, in words.

    Says "identical runs" where nothing varies: a test on equal numbers proves nothing.
    """
    if len({*first, *second}) == 1:
        return "identical runs"
    if min(len(first), len(second)) < 2:
        return "one seed: no interval"
    if np.ptp(first) == 0 and np.ptp(second) == 0:
        return "no spread over seeds: no test"
    test = stats.ttest_ind(second, first, equal_var=False)
    low, high = test.confidence_interval(0.95)
    gain = float(np.mean(second) - np.mean(first))
    return f"{gain:.3g} [{low:.3g}, {high:.3g}], p = {test.pvalue:.2g}"


def _print_groups(console: Console, labels: Sequence[str], groups: list[list[Finished]]) -> None:
    for label, runs in zip(labels, groups, strict=True):
        seeds = ", ".join(str(each.values["seed"]) for each in runs)
        console.print(f"[bold]{label}[/]  seeds {seeds}", highlight=False)
        for each in runs:
            console.print(f"   {each.folder}", style="dim", highlight=False, soft_wrap=True)


def _print_differences(
    console: Console, labels: Sequence[str], groups: list[list[Finished]]
) -> None:
    table = Table(title="\nconfiguration", title_justify="left", box=None)
    table.add_column("key", style="cyan")
    for label in labels:
        table.add_column(label)
    first = groups[0][0].values
    keys = {
        key
        for runs in groups
        for key, _, _ in difference(first, runs[0].values)
        if key not in IGNORED
    }
    for key in sorted(keys):
        table.add_row(key, *(format_value(_at(runs[0].values, key)) for runs in groups))
    console.print(table if keys else "\nequal configurations but for the seed")


def _print_metrics(console: Console, labels: Sequence[str], groups: list[list[Finished]]) -> None:
    table = Table(title="\nresults, mean ± 95 % interval", title_justify="left", box=None)
    for column in ("metric", *labels, *(f"{label} − A" for label in labels[1:])):
        table.add_column(column, style="cyan" if column == "metric" else None)
    for metric in METRICS:
        columns = [[_number(each.summary, metric) for each in runs] for runs in groups]
        if any(math.isnan(value) for values in columns for value in values):
            continue
        cells = [
            f"{format_value(mean)}" + ("" if math.isnan(half) else f" ± {half:.2g}")
            for mean, half in map(interval, columns)
        ]
        table.add_row(metric, *cells, *(verdict(columns[0], other) for other in columns[1:]))
    console.print(table)


def _number(summary: Mapping[str, Any], metric: str) -> float:
    value = summary.get(metric)
    return float(value) if value is not None else math.nan


def _at(values: Mapping[str, Any], key: str) -> Any:
    for part in key.split("."):
        if not isinstance(values, Mapping):
            return None
        values = values.get(part)  # type: ignore[assignment]
    return values
