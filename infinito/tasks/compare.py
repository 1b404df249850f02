"""`task=compare`: differences between runs in configuration and results, grouped over seeds."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from infinito.config import RunConf
from infinito.errors import ConfigError
from infinito.run_folder.finished_runs import FinishedRun, find_runs, read_finished
from infinito.run_folder.folder import difference
from infinito.statistics import mean_interval, welch_test
from infinito.wording import format_value

PER_TOKEN = ("val/loss", "val/perplexity")
"""Metrics per token, which runs with different tokenizers cannot be compared by."""
METRICS = (
    *PER_TOKEN,
    "val/bits_per_byte",
    "val/word_perplexity",
    "val/return",
    "held_out/margin",
    "held_out/accuracy",
)
IGNORED = ("seed", "name", "resume", "dry_run", "runs_dir")
"""Keys that may differ between the runs of one group."""
TEXT_KEYS = ("name", "path", "parts", "max_bytes", "valid_fraction", "test_fraction")
"""Keys of `data` that choose the text a tokenizer is trained on."""


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> None:
    """Print the differences and, for each metric, mean, interval over seeds and Welch's test.

    Raises:
        ConfigError: `runs` names fewer than two finished runs.
        CheckpointError: a run has not finished, or is damaged.
    """
    console = Console()
    folders, unfinished = find_runs(conf.runs)
    if unfinished:
        listed = ", ".join(map(str, unfinished))
        console.print(f"left out, as they have not finished: {listed}", soft_wrap=True)
    if len(folders) < 2:
        raise ConfigError(
            f"`task=compare` needs two finished runs or more, and `runs` names {len(folders)}: "
            "name another run, e.g. `runs=[multirun/a,multirun/b]`"
        )
    groups = group_by_configuration([read_finished(each) for each in folders])
    labels = [label_group(number) for number in range(len(groups))]
    _print_groups(console, labels, groups)
    _print_differences(console, labels, groups)
    comparable = [has_same_tokenizer(groups[0][0], each[0]) for each in groups]
    _print_metrics(console, labels, groups, comparable)
    if not all(comparable):
        others = ", ".join(
            label for label, same in zip(labels, comparable, strict=True) if not same
        )
        console.print(
            f"\nTokenizers differ (A from {others}): loss and perplexity are per token of each "
            "run's own tokenizer and cannot be compared. Compare bits per byte.",
            highlight=False,
        )


def group_by_configuration(runs: Sequence[FinishedRun]) -> list[list[FinishedRun]]:
    """Return groups of runs that differ in nothing but the seed, in order of appearance."""
    groups: dict[str, list[FinishedRun]] = defaultdict(list)
    for each in runs:
        kept = {key: value for key, value in each.values.items() if key not in IGNORED}
        groups[json.dumps(kept, sort_keys=True)].append(each)
    return list(groups.values())


def label_group(number: int) -> str:
    """Return A to Z, then AA, AB …"""
    first, last = divmod(number, 26)
    return (label_group(first - 1) if first else "") + chr(ord("A") + last)


def has_same_tokenizer(first: FinishedRun, other: FinishedRun) -> bool:
    """Return whether two runs have the same tokenizer, by its file or else by its settings."""
    files = [each.folder / "model/tokenizer.json" for each in (first, other)]
    if all(path.is_file() for path in files):
        one, another = (path.read_bytes() for path in files)
        return one == another
    return _tokenizer_settings(first.values) == _tokenizer_settings(other.values)


def describe_difference(first: Sequence[float], second: Sequence[float]) -> str:
    """Return second − first with the interval and p-value of Welch's test, in words.

    Says "identical runs" where nothing varies: a test on equal numbers proves nothing.
    """
    if len({*first, *second}) == 1:
        return "identical runs"
    if min(len(first), len(second)) < 2:
        return "one seed: no interval"
    if np.ptp(first) == 0 and np.ptp(second) == 0:
        return "no spread over seeds: no test"
    gain, p_value = welch_test(second, first)
    return f"{gain.mean:.3g} [{gain.low:.3g}, {gain.high:.3g}], p = {p_value:.2g}"


def _tokenizer_settings(values: Mapping[str, Any]) -> tuple[Any, ...]:
    tokenizer, data, model = (values[name] for name in ("tokenizer", "data", "model"))
    if tokenizer.get("name") == "pretrained":
        return (tokenizer, model.get("path"))
    return (tokenizer, *(data.get(key) for key in TEXT_KEYS))


def _print_groups(console: Console, labels: Sequence[str], groups: list[list[FinishedRun]]) -> None:
    for label, runs in zip(labels, groups, strict=True):
        seeds = ", ".join(format_value(each.values.get("seed")) for each in runs)
        console.print(f"[bold]{label}[/]  seeds {seeds}", highlight=False)
        for each in runs:
            console.print(
                f"   {each.folder}", style="dim", highlight=False, soft_wrap=True, markup=False
            )


def _print_differences(
    console: Console, labels: Sequence[str], groups: list[list[FinishedRun]]
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
        table.add_row(key, *(format_value(_select(runs[0].values, key)) for runs in groups))
    console.print(table if keys else "\nequal configurations but for the seed")


def _print_metrics(
    console: Console,
    labels: Sequence[str],
    groups: list[list[FinishedRun]],
    comparable: Sequence[bool],
) -> None:
    table = Table(title="\nresults, mean ± 95 % interval", title_justify="left", box=None)
    for column in ("metric", *labels, *(f"{label} − A" for label in labels[1:])):
        table.add_column(column, style="cyan" if column == "metric" else None)
    for metric in METRICS:
        columns = [[_read_number(each, metric) for each in runs] for runs in groups]
        if any(math.isnan(value) for values in columns for value in values):
            continue
        differences = [
            describe_difference(columns[0], column)
            if same or metric not in PER_TOKEN
            else "other tokens"
            for column, same in zip(columns[1:], comparable[1:], strict=True)
        ]
        table.add_row(metric, *map(_describe_mean, columns), *differences)
    console.print(table if table.row_count else "\nno metric that all of these runs have")


def _describe_mean(values: Sequence[float]) -> str:
    found = mean_interval(values)
    half = "" if math.isnan(found.half_width) else f" ± {found.half_width:.2g}"
    return format_value(found.mean) + half


def _read_number(each: FinishedRun, metric: str) -> float:
    value = each.summary.get(metric)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else math.nan  # type: ignore[arg-type]


def _select(values: Mapping[str, Any], key: str) -> Any:
    for part in key.split("."):
        if not isinstance(values, Mapping):
            return None
        values = values.get(part)  # type: ignore[assignment]
    return values
