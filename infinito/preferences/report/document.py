"""Writes the training report: its sections as plain values, and the whole as Markdown."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infinito.preferences.scoring.figures import (
    PreferenceScores,
    correlate_with_length,
    mean_interval,
    measure_displacement,
    score_by_length,
    summarize_by_category,
    summarize_scores,
)
from infinito.wording import escape_controls

FORMAT = "infinito/dpo-report/1"
SCHEMA = Path(__file__).with_name("training_report.schema.json")

TIMING = "timing"
"""The only section that differs between equal runs."""


def load_schema() -> dict[str, Any]:
    """Return the JSON Schema of training_report.json."""
    schema: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return schema


def describe_held_out(
    before: PreferenceScores, after: PreferenceScores, beta: float
) -> dict[str, Any]:
    """Return figures of the held-out pairs before and after, beside those of length alone."""
    return {
        "before": summarize_scores(before, beta),
        "after": summarize_scores(after, beta),
        "margin_change": mean_interval(after.margins(beta) - before.margins(beta)),
        "by_category": summarize_by_category(after, beta),
        "baselines": score_by_length(after),
        "reward_length_correlation": correlate_with_length(after, beta),
        "displacement": measure_displacement(
            after.chosen - before.chosen, after.rejected - before.rejected
        ),
    }


def describe_training(history: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Return the first and last values that training logged, and all between."""
    points = [each for each in history if "train/loss" in each]
    first, last = (points[0], points[-1]) if points else ({}, {})
    names = {"loss": "train/loss", "accuracy": "rewards/accuracies", "margins": "rewards/margins"}
    return {
        **{f"initial_{name}": first.get(key) for name, key in names.items()},
        **{f"final_{name}": last.get(key) for name, key in names.items()},
        "history": [dict(each) for each in history],
    }


def render_markdown(report: Mapping[str, Any]) -> str:
    """Return the report as Markdown, with its plots from `plots/`."""
    parts = [
        f"# Preference tuning: {report['status']}",
        f"{report['reason'][:1].upper()}{report['reason'][1:]}.",
        *(f"- {note}" for note in report["notes"]),
        "## What was done",
        format_table(("", ""), _list_settings(report)),
    ]
    if report["held_out"] is not None:
        parts += ["## Held-out pairs", _render_held_out(report["held_out"])]
    if report["history"]:
        names = ("loss", "margins", "accuracies", "log_probabilities")
        parts += ["## Curves", " ".join(f"![{name}](plots/{name}.png)" for name in names)]
    if report["answers"]:
        parts += ["## Answers to held-out prompts", *map(_render_answer, report["answers"])]
    return "\n\n".join(parts) + "\n"


def _list_settings(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    loss = [format_number(report[f"{when}_loss"]) for when in ("initial", "final")]
    accuracy = [format_number(report[f"{when}_accuracy"]) for when in ("initial", "final")]
    margins = [format_number(report[f"{when}_margins"]) for when in ("initial", "final")]
    timing = report[TIMING]
    dropped = Counter(report["data"]["dropped_training"])
    dropped.update(report["data"]["dropped_held_out"])
    return [
        ("model", f"{report['model']['name']}, {report['model']['parameters']:,} parameters"),
        ("origin", report["model"]["origin"]),
        ("loss", f"{' + '.join(report['method']['loss'])}, β = {report['method']['beta']:g}"),
        ("reference", report["method"]["reference"]),
        ("pairs", f"{report['samples']} to train on, {report['held_out_samples']} held out"),
        ("dropped rows", ", ".join(f"{n} {kind}" for kind, n in dropped.items()) or "none"),
        ("epochs, steps", f"{format_number(report['epochs'])}, {report['steps']}"),
        ("training loss", " → ".join(loss)),
        ("training accuracy", " → ".join(accuracy)),
        ("training margin", " → ".join(margins)),
        ("duration", f"{timing['duration_minutes']:.2f} minutes"),
    ]


def _render_held_out(found: Mapping[str, Any]) -> str:
    rows = [
        (name, *(_format_cell(found[when], key, centre) for when in ("before", "after")))
        for name, key, centre in (
            ("reward margin", "margin", "mean"),
            ("reward accuracy", "accuracy", "share"),
            ("accuracy of the bare policy", "raw_accuracy", "share"),
        )
    ]
    for name in ("chosen", "rejected"):
        values = (format_number(found[when][f"logp_{name}"]) for when in ("before", "after"))
        rows.append((f"log-probability of {name}", *values))
    length = [
        (name.replace("_", " "), format_interval(each, "share"))
        for name, each in found["baselines"].items()
    ]
    length.append(
        ("correlation of margin and length", format_number(found["reward_length_correlation"]))
    )
    by_kind = [
        (
            name,
            str(each["pairs"]),
            format_number(each["accuracy"]["share"]),
            format_number(each["margin"]["mean"]),
        )
        for name, each in found["by_category"].items()
    ]
    parts = [
        format_table(("", "before", "after"), rows),
        "Intervals are 95 %: Student's t for means, Wilson's for shares.",
        format_table(("what length alone scores", ""), length),
    ]
    if by_kind:
        parts.append(format_table(("category", "pairs", "accuracy", "margin"), by_kind))
    return "\n\n".join(parts)


def _render_answer(each: Mapping[str, Any]) -> str:
    quoted = {
        name: "> " + escape_controls(str(each[name])).strip().replace("\n", "\n> ")
        for name in ("prompt", "before", "after")
    }
    return (
        f"{quoted['prompt']}\n\nbefore:\n\n{quoted['before']}\n\nafter:\n\n{quoted['after']}\n\n---"
    )


def _format_cell(found: Mapping[str, Any], key: str, centre: str) -> str:
    if key == "accuracy" and found["ties"] == found["pairs"]:
        return "all tied"
    return format_interval(found[key], centre)


def format_interval(values: Mapping[str, float], centre: str) -> str:
    """Return a mean to four digits, or a share to three decimals, and its interval."""
    write = (lambda value: f"{value:.3f}") if centre == "share" else format_number
    return f"{write(values[centre])} ({write(values['low'])} to {write(values['high'])})"


def format_number(value: float | None) -> str:
    """Return a number to four digits, and a dash for None, NaN and infinity."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.4g}"


def format_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
