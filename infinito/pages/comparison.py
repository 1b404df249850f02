"""The page of a comparison: which is better, is it real, and how did it come about?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from infinito.pages.document import Figure, Page, Plots, Section, Table
from infinito.pages.kinds.run_files import RunFiles, read_run
from infinito.pages.kinds.sections import build_next, format_number, format_setting
from infinito.pages.metrics_plots import AXES, find_axes
from infinito.pages.plots import Curve, Plot, make_curve
from infinito.run_folder.commands import build_command, list_curves
from infinito.run_folder.comparison import (
    LESS_IS_BETTER,
    Group,
    describe_difference,
    judge_groups,
    list_differences,
    list_metrics,
)
from infinito.run_folder.series.metrics_file import CLOCKS, Columns
from infinito.statistics import mean_interval
from infinito.wording import format_value

CURVES = {
    "val/loss": "Validation loss",
    "train/loss": "Training loss",
    "val/bits_per_byte": "Bits per byte",
    "val/return": "Validation return",
    "rl/return_mean": "Return of rollouts",
    "val/rewards/margins": "Held-out margin",
    "val/rewards/accuracies": "Held-out accuracy",
    "val/phi": "Φ",
    "train/gradient_norm": "Gradient norm",
    "train/learning_rate": "Learning rate",
    "train/tokens_per_s": "Throughput",
}
"""Columns that are drawn over each other, with the titles of their plots."""
MOST_GROUPS = 12
"""Groups whose curves one plot shows: the first ones."""


def build_comparison(groups: Sequence[Group], folder: Path) -> Page:
    """Return the page of groups of runs, to lie in `folder`.

    Raises:
        CheckpointError: a run's folder is damaged.
    """
    metrics = list_metrics(groups)
    names = name_groups(groups)
    verdict, is_real = "These runs have no figure in common that they could be judged by.", False
    if metrics and len(groups) > 1:
        verdict, is_real = judge_groups(groups, metrics[0])
    elif metrics:
        verdict = f"One group of {len(groups[0].runs)} runs: only the seed differs."
    runs = [[read_run(each.folder) for each in group.runs] for group in groups]
    count, first = sum(map(len, runs)), groups[0].runs[0]
    return Page(
        title=f"{count} runs in {len(groups)} group{'s' * (len(groups) > 1)}",
        subtitle="Comparison · a group is one configuration, over its seeds",
        verdict=verdict,
        mood="good" if is_real else "open",
        figures=list_means(groups, metrics),
        sections=[
            *build_results(groups, metrics, names),
            *build_differences(groups),
            *build_curves(runs, names),
            build_runs(groups, metrics, folder),
            *build_next(
                [
                    (build_command({"task": "report", "checkpoint": first.folder}),
                     "the page of a run"),
                    *list_curves(first.folder, first.values, "curves live"),
                ]
            ),
        ],
        status=f"Written {datetime.now().astimezone():%Y-%m-%d %H:%M:%S %Z}.",
    )  # fmt: skip


def name_groups(groups: Sequence[Group]) -> list[str]:
    """Return each group's letter, with its values of the settings that differ if they are few."""
    found = list_differences(groups)
    if not found or len(found) > 3:
        return [group.label for group in groups]
    return [
        f"{group.label}: "
        + ", ".join(f"{key}={format_setting(values[at])}" for key, values in found.items())
        for at, group in enumerate(groups)
    ]


def list_means(groups: Sequence[Group], metrics: Sequence[str]) -> list[Figure]:
    """Return the mean of the deciding metric of each group, as far as there is room."""
    return [
        Figure(
            f"{metrics[0]} of {group.label}",
            describe_mean(list(group.read(metrics[0]).values())),
            f"{len(group.runs)} run{'s' * (len(group.runs) > 1)}",
        )
        for group in groups[:8]
        if metrics
    ]


def build_results(
    groups: Sequence[Group], metrics: Sequence[str], names: Sequence[str]
) -> list[Section]:
    """Return a plot of every run and of means with intervals, and the same as a table."""
    if not metrics:
        return []
    plots = [plot_results(groups, metric, names, at == 0) for at, metric in enumerate(metrics[:3])]
    head = ["", *(group.label for group in groups), *(f"{g.label} − A" for g in groups[1:])]
    rows = [
        (
            metric,
            *(describe_mean(list(group.read(metric).values())) for group in groups),
            *(describe_difference(groups[0].read(metric), g.read(metric)) for g in groups[1:]),
        )
        for metric in metrics
    ]
    note = (
        "Means with 95 % intervals over seeds. Differences are tested run by run where groups have "
        "the same seeds (paired), and by Welch's test where they have not."
    )
    return [Section("Which is better?", [Plots(plots), Table(head, rows)], note)]


def plot_results(groups: Sequence[Group], metric: str, names: Sequence[str], is_wide: bool) -> Plot:
    """Return a plot with a line a group: its runs as points, its mean with the interval."""
    places = list(range(len(groups)))[::-1]
    points: list[tuple[float, int, str]] = []
    means: list[Curve] = []
    for at, (group, place) in enumerate(zip(groups, places, strict=True)):
        values = group.read(metric)
        for each, value in zip(group.runs, values.values(), strict=True):
            seed = format_value(each.values.get("seed"))
            points.append((value, place, f"{names[at]}\nseed {seed}\n{each.folder}"))
        found = mean_interval(list(values.values()))
        if len(values) > 1:
            bar = {metric: [found.low, found.mean, found.high]}
            means.append(Curve("mean, 95 % interval", bar, [place] * 3, "thick", colour=1))
    x, y, labels = zip(*points, strict=True)
    runs = Curve("run", {metric: list(x)}, list(y), "dots", labels=labels, colour=0)
    better = "less" if LESS_IS_BETTER[metric] else "more"
    ticks = list(zip(places, names, strict=True))
    note = f"{better} is better"
    return Plot(metric, "", [runs, *means], note, y_ticks=ticks, is_wide=is_wide)


def build_differences(groups: Sequence[Group]) -> list[Section]:
    """Return the settings that differ between groups."""
    found = list_differences(groups)
    if not found:
        return []
    rows = [(key, *map(format_setting, values)) for key, values in found.items()]
    head = ["setting", *(group.label for group in groups)]
    return [Section("What differs", [Table(head, rows)])]


def build_curves(runs: Sequence[Sequence[RunFiles]], names: Sequence[str]) -> list[Section]:
    """Return the curves of groups over each other: means over seeds with their intervals."""
    plots = []
    columns = [[each.columns for each in group] for group in runs[:MOST_GROUPS]]
    for key, title in CURVES.items():
        curves = [
            curve
            for at, group in enumerate(columns)
            for curve in draw_group(group, key, names[at], at)
        ]
        if len({curve.colour for curve in curves}) > (len(columns) > 1):
            plots.append(Plot(title, key, share_axes(curves)))
    note = "A curve is the mean over a group's seeds; beside it, the 95 % interval."
    if len(runs) > MOST_GROUPS:
        note += f" Of {len(runs)} groups the first {MOST_GROUPS} are drawn."
    return [Section("Curves", [Plots(plots)], note)] if plots else []


def draw_group(group: Sequence[Columns], key: str, name: str, colour: int) -> list[Curve]:
    """Return the mean of a column over runs at the steps that all have; of one run, the column."""
    with_key = [each for each in group if key in each]
    if not with_key:
        return []
    tables = [
        {
            step: at
            for at, (step, value) in enumerate(zip(each["step"], each[key], strict=True))
            if value is not None
        }
        for each in with_key
    ]
    steps = [step for step in tables[0] if all(step in table for table in tables)]
    if not steps:
        return []
    axes = [name for name in AXES if all(name in find_axes(each) for each in with_key)]
    x = {
        axis: [
            _mean(each[axis][table[step]] for each, table in zip(with_key, tables, strict=True))
            for step in steps
        ]
        for axis in axes
    }
    values = [
        [float(each[key][table[step]] or 0.0) for each, table in zip(with_key, tables, strict=True)]
        for step in steps
    ]
    found = [mean_interval(each) for each in values] if len(with_key) > 1 else []
    mean = make_curve(name, x, [_mean(each) for each in values], colour=colour)
    if not found or key in CLOCKS:
        return [mean]
    bounds = dict(zip(steps, found, strict=True))
    kept = [bounds[step] for step in mean.x["step"]]
    low, high = [each.low for each in kept], [each.high for each in kept]
    return [Curve(name, mean.x, mean.y, low=low, high=high, colour=colour)]


def share_axes(curves: Sequence[Curve]) -> list[Curve]:
    """Return the curves with those axes alone that all of them have."""
    names = [name for name in curves[0].x if all(name in curve.x for curve in curves)]
    return [
        Curve(
            curve.name,
            {name: curve.x[name] for name in names},
            curve.y,
            curve.style,
            curve.low,
            curve.high,
            curve.labels,
            curve.colour,
        )
        for curve in curves
    ]


def build_runs(groups: Sequence[Group], metrics: Sequence[str], folder: Path) -> Section:
    """Return every run with its figures, with links to the pages of those that have one."""
    rows: list[tuple[str, ...]] = []
    links: dict[int, str] = {}
    for group in groups:
        for each in group.runs:
            page = each.folder / "report.html"
            if page.is_file():
                links[len(rows)] = Path(os.path.relpath(page, folder)).as_posix()
            figures = (format_number(each.summary[metric]) for metric in metrics)
            seed = format_value(each.values.get("seed"))
            rows.append((str(each.folder), group.label, seed, *figures))
    return Section("All runs", [Table(["run", "group", "seed", *metrics], rows, links=links)])


def tabulate(groups: Sequence[Group], metrics: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row for each run, with what differs between groups: comparison.csv."""
    settings = list_differences(groups)
    return [
        {
            "run": str(each.folder),
            "group": group.label,
            "seed": each.values.get("seed"),
            **{key: format_setting(values[at]) for key, values in settings.items()},
            **{metric: each.summary[metric] for metric in metrics},
        }
        for at, group in enumerate(groups)
        for each in group.runs
    ]


def describe_mean(values: Sequence[float]) -> str:
    """Return a mean with half the width of its interval, where it has one."""
    found = mean_interval(values)
    digits = float(f"{found.half_width:.2g}")
    half = f" ± {format_value(digits)}" if len(values) > 1 else ""
    return format_value(found.mean) + half


def _mean(values: Any) -> float:
    listed = [float(value or 0.0) for value in values]
    return sum(listed) / len(listed)
