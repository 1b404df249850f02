"""Compares the preference tunings of a sweep in one table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from infinito.preferences.report.document import format_interval, format_number, format_table
from infinito.storage import locked, written_whole

ALWAYS = ("seed", "loss", "beta", "learning_rate")
"""Settings that always have a column."""

SETTINGS = (*ALWAYS, "reference", "epochs", "batch_size")
"""Settings that have a column where runs differ in them."""


def compare_sweep(console: Console, folder: Path) -> None:
    """Write comparison.md, a line for each run of the sweep that has ended, and print it.

    Args:
        folder: A run's. Runs of a sweep have numbers as names; nothing is done for others.
    """
    if not folder.name.isdigit():
        return
    sweep = folder.parent
    paths = sorted(sweep.glob("*/training_report.json"), key=lambda path: path.parent.name.zfill(9))
    reports = {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    target = sweep / "comparison.md"
    text = render_sweep_table(reports)
    with locked(target), written_whole(target) as file:
        file.write(f"{text}\n".encode())
    console.print(f"\n[bold]the sweep so far[/]  {target}", highlight=False, soft_wrap=True)
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def render_sweep_table(reports: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a Markdown table, a line for each run, the best held-out accuracy first.

    Of equal accuracies the wider margin in nats comes first: rewards are β times nats.

    Args:
        reports: Training reports by the name of their run.
    """
    settings = {name: list_settings(report) for name, report in reports.items()}
    columns = [
        key
        for key in SETTINGS
        if key in ALWAYS or len({each[key] for each in settings.values()}) > 1
    ]
    ordered = sorted(reports, key=lambda name: rank_run(reports[name]))
    head = ["run", *columns, "held-out accuracy", "held-out margin", "training loss", "status"]
    rows = [_build_row(name, settings[name], columns, reports[name]) for name in ordered]
    return format_table(head, rows)


def list_settings(report: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings in which runs of a sweep may differ, as text."""
    values = {**report["method"], "seed": report["seed"], "epochs": report["epochs"]}
    return {
        key: "+".join(values[key]) if isinstance(values[key], list) else f"{values[key]}"
        for key in SETTINGS
    }


def rank_run(report: Mapping[str, Any]) -> tuple[bool, float, float]:
    """Return a sort key, lowest for the best run; failed runs come last."""
    if report["held_out"] is None:
        return True, 0.0, 0.0
    after = report["held_out"]["after"]
    return False, -after["accuracy"]["share"], -after["margin"]["mean"] / report["method"]["beta"]


def _build_row(
    name: str, settings: Mapping[str, str], columns: list[str], report: Mapping[str, Any]
) -> list[str]:
    cells = ["–", "–"]
    if report["held_out"] is not None:
        after = report["held_out"]["after"]
        cells = [
            format_interval(after["accuracy"], "share"),
            format_interval(after["margin"], "mean"),
        ]
    own = [settings[key] for key in columns]
    return [name, *own, *cells, format_number(report["final_loss"]), str(report["status"])]
