"""The report of a pipeline: a table of its stages and the answers to the same prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment

from infinito.storage import written_whole

LEARNT = 0.9
"""Accuracy from which on a skill counts as learnt."""


def write_report(folder: Path, title: str, stages: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Write report.md and report.html, and return the verdicts.

    Args:
        folder: The pipeline's.
        title: The run's name.
        stages: What was measured after each stage, in their order.
    """
    table, verdicts = list_rows(stages), judge(stages)
    names = list(stages)
    prompts = list(next(iter(stages.values()))["samples"])
    answers = [(prompt, [stages[name]["samples"][prompt] for name in names]) for prompt in prompts]
    values = {"title": title, "names": names, "table": table, "verdicts": verdicts}
    for suffix, escapes in (("md", False), ("html", True)):
        text = (
            resources.files("infinito.pipeline")
            .joinpath(f"report.{suffix}.jinja")
            .read_text(encoding="utf-8")
        )
        environment = Environment(autoescape=escapes, trim_blocks=True, keep_trailing_newline=True)
        page = environment.from_string(text).render(**values, answers=answers)
        with written_whole(folder / f"report.{suffix}") as file:
            file.write(page.encode())
    return verdicts


def list_rows(stages: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Return the lines of the table: what was measured, and its value after each stage."""
    skills = next(iter(stages.values()))["skills"]
    rows = [
        ("bits/byte on held-out text", [f"{each['bits_per_byte']:.3f}" for each in stages.values()])
    ]
    for name in skills:
        found = [each["skills"][name] for each in stages.values()]
        texts = [f"{x['accuracy']:.2f} [{x['low']:.2f}, {x['high']:.2f}]" for x in found]
        rows.append((f"{name} (control {found[0]['control']:.2f})", texts))
    rows.append(("mean of the skills", [f"{_mean(each):.3f}" for each in stages.values()]))
    accuracies = [each["preference_accuracy"] for each in stages.values()]
    shown = ["–" if each is None else f"{each:.2f}" for each in accuracies]
    rows.append(("preference accuracy", shown))
    rows.append(("minutes", [f"{each['minutes']:.1f}" for each in stages.values()]))
    cpus = [each.get("cpu_minutes") for each in stages.values()]  # absent where an older run began
    rows.append(("CPU minutes", ["–" if each is None else f"{each:.1f}" for each in cpus]))
    rows.append(("peak memory, MiB", [f"{each['peak_mib']:.0f}" for each in stages.values()]))
    return rows


def judge(stages: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return sentences on what the stages taught, each from the figures alone."""
    first, tuned, preferred = list(stages.values())
    scores = tuned["skills"]
    learnt = [name for name, each in scores.items() if each["accuracy"] >= LEARNT]
    unclear = [name for name, each in scores.items() if each["low"] <= each["control"]]
    left = [name for name in scores if name not in learnt]
    verdicts = [
        f"After supervised tuning, {len(learnt)} of {len(scores)} skills reach {LEARNT:.2f}: "
        f"{', '.join(learnt) or 'none'}.",
        f"Not clearly above the most frequent answer: {', '.join(unclear) or 'none'}.",
    ]
    if left:
        before, after = (_mean(each, left) for each in (tuned, preferred))
        change = "raises" if after > before else "does not raise"
        verdicts.append(
            f"Preference tuning {change} the mean of the skills left below {LEARNT:.2f}: "
            f"{before:.3f} before, {after:.3f} after."
        )
    for name, stage in (("supervised tuning", tuned), ("preference tuning", preferred)):
        ratio = stage["bits_per_byte"] / first["bits_per_byte"] - 1
        verdicts.append(f"Bits/byte on text after {name}: {ratio:+.1%} of those after pretraining.")
    return verdicts


def find_best(stages: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the name of the stage with the highest mean of the skills, the first of equal ones."""
    return max(stages, key=lambda name: _mean(stages[name]))


def _mean(stage: Mapping[str, Any], names: Sequence[str] | None = None) -> float:
    chosen = [stage["skills"][name]["accuracy"] for name in names or stage["skills"]]
    return float(sum(chosen) / len(chosen))
