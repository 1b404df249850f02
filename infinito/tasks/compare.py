"""`task=compare`: differences between runs in configuration and results, grouped over seeds."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from infinito.config import RunConf
from infinito.errors import ConfigError
from infinito.pages.comparison import build_comparison, describe_mean, tabulate
from infinito.pages.rendering import write_page
from infinito.run_folder.comparison import (
    METRICS,
    PER_TOKEN,
    Group,
    describe_difference,
    has_same_tokenizer,
    judge_groups,
    list_differences,
    list_metrics,
    make_groups,
)
from infinito.run_folder.finished_runs import find_runs, read_finished
from infinito.run_folder.tables import print_page
from infinito.storage import written_whole
from infinito.wording import format_value


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> None:
    """Print differences, means and tests; write comparison.html and comparison.csv in `folder`.

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
    groups = make_groups([read_finished(each) for each in folders])
    _print_groups(console, groups)
    _print_differences(console, groups)
    comparable = [has_same_tokenizer(groups[0].runs[0], each.runs[0]) for each in groups]
    with console.status("testing the differences"):
        _print_metrics(console, groups, comparable)
    if not all(comparable):
        pairs = zip(groups, comparable, strict=True)
        others = ", ".join(group.label for group, same in pairs if not same)
        console.print(
            f"\nTokenizers differ (A from {others}): loss and perplexity are per token of each "
            "run's own tokenizer and cannot be compared. Compare bits per byte.",
            highlight=False,
        )
    metrics = list_metrics(groups)
    if metrics and len(groups) > 1:
        verdict, _ = judge_groups(groups, metrics[0])
        console.print(f"\n{verdict}", highlight=False)
    folder.mkdir(parents=True, exist_ok=True)
    write_table(folder / "comparison.csv", groups, metrics)
    page = folder / "comparison.html"
    with console.status("writing the page"):
        write_page(page, build_comparison(groups, folder))
    print_page(console, page)


def write_table(path: Path, groups: Sequence[Group], metrics: Sequence[str]) -> None:
    """Write a row for each run, for pandas and spreadsheets."""
    rows = tabulate(groups, metrics)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with written_whole(path) as file:
        file.write(text.getvalue().encode("utf-8", "backslashreplace"))


def _print_groups(console: Console, groups: Sequence[Group]) -> None:
    for group in groups:
        seeds = ", ".join(format_value(each.values.get("seed")) for each in group.runs)
        console.print(f"[bold]{group.label}[/]  seeds {seeds}", highlight=False)
        for each in group.runs:
            console.print(
                f"   {each.folder}", style="dim", highlight=False, soft_wrap=True, markup=False
            )


def _print_differences(console: Console, groups: Sequence[Group]) -> None:
    table = Table(title="\nconfiguration", title_justify="left", box=None)
    table.add_column("key", style="cyan")
    for group in groups:
        table.add_column(group.label)
    found = list_differences(groups)
    for key, values in found.items():
        table.add_row(key, *map(format_value, values))
    console.print(table if found else "\nequal configurations but for the seed")


def _print_metrics(console: Console, groups: Sequence[Group], comparable: Sequence[bool]) -> None:
    table = Table(title="\nresults, mean ± 95 % interval", title_justify="left", box=None)
    labels = [group.label for group in groups]
    for column in ("metric", *labels, *(f"{label} − A" for label in labels[1:])):
        table.add_column(column, style="cyan" if column == "metric" else None)
    for metric in METRICS:
        columns = [group.read(metric) for group in groups]
        pairs = zip(columns, groups, strict=True)
        if any(len(column) < len(group.runs) for column, group in pairs):
            continue
        differences = [
            describe_difference(columns[0], column)
            if same or metric not in PER_TOKEN
            else "other tokens"
            for column, same in zip(columns[1:], comparable[1:], strict=True)
        ]
        means = [describe_mean(list(column.values())) for column in columns]
        table.add_row(metric, *means, *differences)
    console.print(table if table.row_count else "\nno metric that all of these runs have")
