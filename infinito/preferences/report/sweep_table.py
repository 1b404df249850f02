"""Several preference tunings in one table: what differs between them, and how each fared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infinito.preferences.report.document import format_interval, format_number, format_table

SETTINGS = ("seed", "loss", "beta", "learning_rate", "reference", "epochs", "batch_size")
"""What a column is made of where runs differ in it; the first four always have one."""


def render_sweep_table(reports: Mapping[str, Mapping[str, Any]]) -> str:
    """A Markdown table, a line a run, the best held-out accuracy first.

    Among equal ones the wider margin in nats is first: β stretches a margin without any learning.

    Args:
        reports: Training reports by the name of their run.
    """
    settings = {name: list_settings(report) for name, report in reports.items()}
    varied = [
        key
        for key in SETTINGS
        if key in SETTINGS[:4] or len({s[key] for s in settings.values()}) > 1
    ]
    ordered = sorted(reports, key=lambda name: rank_run(reports[name]))
    head = ["run", *varied, "held-out accuracy", "held-out margin", "training loss", "status"]
    return format_table(
        head, [_build_line(name, settings[name], varied, reports[name]) for name in ordered]
    )


def list_settings(report: Mapping[str, Any]) -> dict[str, str]:
    """What distinguishes a run, as text."""
    values = {**report["method"], "seed": report["seed"], "epochs": report["epochs"]}
    return {
        key: "+".join(values[key]) if isinstance(values[key], list) else f"{values[key]}"
        for key in SETTINGS
    }


def rank_run(report: Mapping[str, Any]) -> tuple[bool, float, float]:
    """What runs are ordered by, the best lowest; those that failed come last."""
    if report["held_out"] is None:
        return True, 0.0, 0.0
    after = report["held_out"]["after"]
    return False, -after["accuracy"]["share"], -after["margin"]["mean"] / report["method"]["beta"]


def _build_line(
    name: str, settings: Mapping[str, str], varied: list[str], report: Mapping[str, Any]
) -> list[str]:
    cells = ["–", "–"]
    if report["held_out"] is not None:
        accuracy, margin = (report["held_out"]["after"][key] for key in ("accuracy", "margin"))
        cells = [
            f"{accuracy['share']:.3f} ({accuracy['low']:.3f} to {accuracy['high']:.3f})",
            format_interval(margin, "mean"),
        ]
    chosen = [settings[key] for key in varied]
    return [name, *chosen, *cells, format_number(report["final_loss"]), str(report["status"])]
