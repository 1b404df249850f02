"""The page of a preference tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infinito.pages.document import Figure, Page, Part, Section, Table, Text
from infinito.pages.kinds.language import describe_progress, list_last
from infinito.pages.kinds.run_files import RunFiles
from infinito.pages.kinds.sections import (
    build_curves,
    build_measured,
    build_next,
    build_provenance,
    build_settings,
    build_validations,
    format_number,
    name_run,
)
from infinito.pages.metrics_plots import PREFERENCES, plot_groups
from infinito.run_folder.commands import build_command, list_curves, quote_word

MOODS = {"ok": "good", "no_improvement": "open", "failed": "bad"}
SHOWN_ANSWERS = 12


def build_page(run: RunFiles) -> Page:
    """Return the page of a preference tuning, finished or not."""
    report, columns = run.results, run.columns
    held_out = report.get("held_out")
    plots, others = plot_groups(columns, PREFERENCES)
    verdict = describe_progress(columns)
    if report:
        verdict = f"{report['status']}: {report['reason']}."
    return Page(
        title=name_run(run.folder),
        subtitle=f"Preference tuning · {run.values['name']} · seed {run.values['seed']}",
        verdict=verdict,
        mood=MOODS[report["status"]] if report else "open",
        notes=[f"{note[:1].upper()}{note[1:]}." for note in report.get("notes", [])],
        figures=list_figures(report) if held_out else list_last(columns),
        sections=[
            *([build_held_out(held_out)] if held_out else []),
            *build_curves(plots, others),
            *build_validations(columns),
            *build_answers(report),
            *build_measured(run),
            *build_settings(run),
            *build_provenance(run),
            *build_next(list_next(run)),
        ],
    )


def list_figures(report: Mapping[str, Any]) -> list[Figure]:
    """Return the figures of held-out pairs that stand at the top."""
    after, change = report["held_out"]["after"], report["held_out"]["margin_change"]
    accuracy = after["accuracy"]
    return [
        Figure("held-out accuracy", f"{accuracy['share']:.0%}", _bounds(accuracy)),
        Figure("held-out margin", format_number(after["margin"]["mean"]), _bounds(after["margin"])),
        Figure("change of margin", f"{change['mean']:+.3g}", _bounds(change)),
        Figure("held-out pairs", str(after["pairs"])),
        Figure("training pairs", str(report["samples"])),
        Figure("steps", f"{report['steps']:,}"),
        Figure("seconds", format_number(report["timing"]["duration_seconds"])),
    ]


def build_held_out(found: Mapping[str, Any]) -> Section:
    """Return what the held-out pairs say, beside what length alone would."""
    before, after = found["before"], found["after"]
    rows: list[tuple[str, ...]] = [
        (name, _interval(before[key], centre), _interval(after[key], centre))
        for name, key, centre in (
            ("reward margin", "margin", "mean"),
            ("reward accuracy", "accuracy", "share"),
            ("accuracy of the bare policy", "raw_accuracy", "share"),
        )
    ]
    for name in ("chosen", "rejected"):
        values = (format_number(each[f"logp_{name}"]) for each in (before, after))
        rows.append((f"log-probability of {name}", *values))
    length = [
        (name.replace("_", " "), _interval(each, "share"))
        for name, each in found["baselines"].items()
    ]
    parts: list[Part] = [
        Table(["", "before", "after"], rows),
        Table(["what length alone scores", "accuracy"], length),
    ]
    if found["by_category"]:
        by_kind = [
            (name, str(each["pairs"]), _interval(each["accuracy"], "share"),
             _interval(each["margin"], "mean"))
            for name, each in found["by_category"].items()
        ]  # fmt: skip
        parts.append(Table(["category", "pairs", "accuracy", "margin"], by_kind))
    note = "Intervals are 95 %: Student's t for means, Wilson's for shares."
    return Section("Held-out pairs", parts, note)


def build_answers(report: Mapping[str, Any]) -> list[Section]:
    """Return what the policy answers before and after."""
    parts = []
    for number, each in enumerate(report.get("answers", [])[:SHOWN_ANSWERS], start=1):
        title = f"prompt {number}" + (f", {each['category']}" if each["category"] else "")
        body = f"before: {each['before'].strip()}\n\nafter:  {each['after'].strip()}"
        parts.append(Text(title, body, f"{each['prompt'].strip()}\n\n"))
    return [Section("Answers to held-out prompts", parts)] if parts else []


def list_next(run: RunFiles) -> list[tuple[str, str]]:
    """Return the commands that are useful now, each with what it does."""
    if not run.results:
        resume = build_command({"resume": run.folder})
        curves = list_curves(run.folder, run.values, "the same curves live")
        return [(resume, "go on, if it has stopped"), *curves]
    scores = {"task": "score_pairs", "data": "pairs", "checkpoint": run.folder / "model"}
    return [
        (f"less {quote_word(str(run.folder / 'training_report.md'))}", "the report as text"),
        (build_command(scores), "score other pairs by data.path=…"),
        *list_curves(run.folder, run.values, "curves"),
    ]


def _interval(found: Mapping[str, float], centre: str) -> str:
    return f"{format_number(found[centre])} ({_bounds(found)})"


def _bounds(found: Mapping[str, float]) -> str:
    return f"{format_number(found['low'])} to {format_number(found['high'])}"
