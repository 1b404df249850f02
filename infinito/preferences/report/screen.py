"""Prints the end of a preference tuning: verdict, figures, one answer, and next commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from infinito.config import PretrainedConf, RunConf
from infinito.preferences.assembly import require_pairs
from infinito.preferences.report.document import format_interval
from infinito.run_folder.commands import build_command, list_curves, quote_word
from infinito.run_folder.tables import print_next, print_table
from infinito.wording import escape_controls, format_value

COLOURS = {"ok": "green", "no_improvement": "yellow", "failed": "red"}
"""Colour of each status."""


def print_outcome(console: Console, folder: Path, report: Mapping[str, Any], conf: RunConf) -> None:
    """Print verdict, figures, one pair of answers, and the commands that are useful now."""
    status = f"[bold {COLOURS[report['status']]}]{report['status']}[/]"
    console.print(f"\n{status}: {report['reason']}", highlight=False)
    for note in report["notes"]:
        console.print(f"  [dim]note:[/] {note}", highlight=False)
    print_table(console, "", _list_figures(report))
    for answer in report["answers"][:1]:
        for label, key in (("", "prompt"), ("before: ", "before"), ("after:  ", "after")):
            text = escape(label + escape_controls(answer[key]).strip())
            console.print(text if label else f"\n[bold]{text}[/]", highlight=False)
    print_next(console, _list_commands(folder, conf))


def list_reading_overrides(conf: RunConf) -> dict[str, Any]:
    """Return how this run reads its pairs, where that differs from conf/data/pairs.yaml."""
    data = require_pairs(conf)
    usual = {
        "block_size": 256,
        "truncate": "never",
        "chat": True,
        "chat_template": "plain",
        "end_token": None,
    }
    own = {name: getattr(data, name) for name in usual}
    return {f"data.{name}": value for name, value in own.items() if value != usual[name]}


def _list_figures(report: Mapping[str, Any]) -> dict[str, Any]:
    after = report["held_out"]["after"]
    losses = (format_value(report[f"{when}_loss"]) for when in ("initial", "final"))
    return {
        "training loss": " → ".join(losses),
        "training accuracy": report["final_accuracy"],
        "held-out margin": after["margin"]["mean"],
        "held-out accuracy": format_interval(after["accuracy"], "share"),
        **{
            name.replace("_", " "): f"{each['share']:.3f}"
            for name, each in report["held_out"]["baselines"].items()
        },
    }


def _list_commands(folder: Path, conf: RunConf) -> list[tuple[str, str]]:
    start = folder / "start" if (folder / "start").is_dir() else conf.checkpoint
    if isinstance(conf.model, PretrainedConf) and conf.checkpoint is None:
        start = conf.model.path
    values = {
        "task": "score_pairs",
        "data": "pairs",
        "checkpoint": folder / "model",
        "dpo.reference_checkpoint": start,
        **list_reading_overrides(conf),
    }
    return [
        (
            f"less {quote_word(str(folder / 'training_report.md'))}",
            "the report: every answer, category and interval",
        ),
        (build_command(values), "score other pairs by data.path=…"),
        *list_curves(folder, asdict(conf), "curves"),
    ]
