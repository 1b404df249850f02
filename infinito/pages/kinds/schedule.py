"""The page of a learned training schedule, and of a report on one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infinito.config import LanguagePhiConf
from infinito.pages.document import Figure, Page, Part, Picture, Plots, Section, Table
from infinito.pages.kinds.run_files import RunFiles, read_json
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
from infinito.pages.metrics_plots import PHI, SCHEDULE, plot_groups
from infinito.pages.plots import Curve, Plot
from infinito.run_folder.commands import build_command, list_curves
from infinito.run_folder.series.metrics_file import Columns


def build_page(run: RunFiles) -> Page:
    """Return the page of a schedule's training, finished or not, or of `task=report` on one."""
    if run.task == "report":
        return build_report(run)
    summary, columns = run.results, run.columns
    low, high = LanguagePhiConf().band
    plots, others = plot_groups(columns, SCHEDULE, {PHI: {"band from": low, "band to": high}})
    evaluations = [
        found for path in sorted(run.folder.glob("evaluation_*/evaluation.json"))
        if "policies" in (found := read_json(path))
    ]  # fmt: skip
    verdict, mood = judge(summary, columns, evaluations)
    return Page(
        title=name_run(run.folder),
        subtitle=f"Learned training schedule · {run.values['name']} · seed {run.values['seed']}",
        verdict=verdict,
        mood=mood,
        notes=["Validations fell significantly below the best: the training stopped."]
        if summary.get("collapsed")
        else [],
        figures=list_figures(summary or last_figures(columns)),
        sections=[
            *(build_policies(found) for found in evaluations[-1:]),
            *build_curves(plots, others),
            *build_validations(columns),
            *build_measured(run),
            *build_settings(run),
            *build_provenance(run),
            *build_next(list_next(run.folder, run.values, bool(summary))),
        ],
    )


def judge(
    summary: Mapping[str, Any], columns: Columns, evaluations: Sequence[Mapping[str, Any]]
) -> tuple[str, str]:
    """Return a sentence on the result, and "good", "bad" or "open"."""
    if evaluations:
        return judge_evaluation(evaluations[-1])
    if not summary:
        steps = columns.get("step")
        done = "nothing yet" if not steps else f"{format_number(steps[-1])} environment steps"
        return f"The training has done {done}.", "open"
    return (
        f"Best validation return {format_number(summary['val/return'])} at step "
        f"{summary['best_timesteps']:,} of {summary['timesteps']:,}. Whether that is more than a "
        "control's, `task=evaluate` says.",
        "open",
    )


def judge_evaluation(report: Mapping[str, Any]) -> tuple[str, str]:
    """Return the verdict of an evaluation against every control, and its mood."""
    excess = report["policies"][0]["excess"]
    mood = "good" if excess["low"] > 0 else "bad" if excess["high"] < 0 else "open"
    verdict = report["verdict"]
    return f"On {report['episodes']} test episodes: {verdict}.", mood


def build_policies(report: Mapping[str, Any]) -> Section:
    """Return every policy's return on the same test episodes, as a plot and a table."""
    policies, baseline = report["policies"], report["baseline"]
    places = list(range(len(policies)))[::-1]
    excess = [each["excess"] for each in policies]
    curve = Curve(
        "excess",
        {f"return minus that of {baseline}": [each["mean"] for each in excess]},
        places,
        style="dots",
        labels=[f"{each['policy']}: {format_interval(each['excess'])}" for each in policies],
    )
    bars = [
        Curve(
            "95 % interval",
            {f"return minus that of {baseline}": [each["low"], each["high"]]},
            [place, place],
            style="thick",
            colour=0,
        )
        for each, place in zip(excess, places, strict=True)
    ]
    ticks = [(place, each["policy"]) for place, each in zip(places, policies, strict=True)]
    plot = Plot("Policies on the same episodes", "", [curve, *bars], y_ticks=ticks, is_wide=True)
    rows = [
        (
            each["policy"],
            format_interval(each["return"]),
            format_interval(each["excess"]),
            format_number(each["final_perplexity"]),
            f"{each['in_band']:.0%}",
            ", ".join(f"{name} {share:.0%}" for name, share in each["actions"].items()),
        )
        for each in policies
    ]
    head = ("policy", "return", "excess", "perplexity", "in band", "actions")
    parts: list[Part] = [Plots([plot]), Table(head, rows, marked=0)]
    note = f"Excess: return minus that of {baseline} in the same episode, 95 % interval."
    if (null := report.get("null_environment")) is not None:
        inside = "contains 0, as it must" if null["contains_zero"] else "excludes 0: a fault"
        note += f" In the null environment, agent minus random {inside}."
    return Section("Against every control", parts, note)


def list_figures(summary: Mapping[str, Any]) -> list[Figure]:
    """Return the figures that stand at the top."""
    names = {
        "val/return": "validation return",
        "best_timesteps": "best at step",
        "timesteps": "steps",
        "rl/phi": "Φ",
        "rl/in_band": "share in the band",
        "rl/perplexity": "perplexity",
    }
    return [
        Figure(name, format_number(summary[key])) for key, name in names.items() if key in summary
    ]


def last_figures(columns: Columns) -> dict[str, Any]:
    """Return the last figure of each column that has one."""
    found = {
        name: next((value for value in reversed(values) if value is not None), None)
        for name, values in columns.items()
    }
    return {name: value for name, value in found.items() if value is not None}


def build_report(run: RunFiles) -> Page:
    """Return the page of `task=report`: checkpoints against the best static action."""
    report = run.results
    baseline = report["baseline"]
    rows = [
        (
            each["policy"],
            f"{each['timesteps']:,}",
            format_interval(each["return"]),
            format_interval(each["excess"]),
            f"{each['train_gap']:+.2f} (p {each['train_gap_p']:.2f})",
        )
        for each in report["checkpoints"]
    ]
    head = ("checkpoint", "steps", "return", "excess", "gap of training and test return")
    table = Table(head, rows, f"Excess: return minus that of {baseline}, 95 % interval")
    pictures = [
        Picture(path.read_bytes(), what)
        for name, what in (
            ("checkpoints", "Excess return of each checkpoint"),
            ("schedule", "Actions, Φ, perplexity and reward over the steps of the test episodes"),
        )
        if (path := run.folder / f"{name}.png").is_file()
    ]
    progress = [(name, format_number(value) if isinstance(value, int | float) else str(value))
                for name, value in report["progress"].items()]  # fmt: skip
    first = report["checkpoints"][0]["excess"]
    mood = "good" if first["low"] > 0 else "bad" if first["high"] < 0 else "open"
    return Page(
        title=name_run(Path(report["run"])),
        subtitle="Checkpoints of a learned training schedule",
        verdict=f"Return of the first minus that of {baseline}: {format_interval(first)}.",
        mood=mood,
        figures=[],
        sections=[
            Section("Checkpoints", [table, *pictures]),
            Section("Progress", [Table(["", ""], progress)]),
            *build_settings(run),
        ],
    )


def list_next(
    folder: Path, values: Mapping[str, Any], has_ended: bool = True
) -> list[tuple[str, str]]:
    """Return the commands that are useful after a schedule's training, each with what it does."""
    if not has_ended:
        return [
            (build_command({"resume": folder}), "go on, if it has stopped"),
            *list_curves(folder, values, "the same curves live"),
        ]
    commands = [
        ({"task": "evaluate", "checkpoint": folder}, "test episodes against every control"),
        ({"task": "report", "checkpoint": folder}, "tables, plots and a page"),
        ({"+experiment": "rl_continue", "resume": folder}, "go on to 40,000 steps"),
    ]
    return [(build_command(values), purpose) for values, purpose in commands]


def format_interval(interval: Mapping[str, float]) -> str:
    """Return a mean and its bounds."""
    return f"{interval['mean']:+.3g} ({interval['low']:+.3g} to {interval['high']:+.3g})"
