"""Pages of tasks that measure a model: loss, benchmarks, attention, preferences, Φ, bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from infinito.errors import CheckpointError
from infinito.pages.document import Figure, Page, Part, Picture, Plots, Section, Table, Text
from infinito.pages.kinds.run_files import RunFiles
from infinito.pages.kinds.schedule import build_policies, judge_evaluation
from infinito.pages.kinds.sections import (
    build_next,
    build_provenance,
    build_settings,
    format_number,
    name_run,
)
from infinito.pages.plots import Curve, Plot
from infinito.run_folder.commands import build_command
from infinito.run_folder.folder import find_run_folder
from infinito.wording import format_value

SHOWN_PAIRS = 30

MOST_FIGURES = 6
"""Figures at the top of a page of benchmarks; the table has all."""

Built = tuple[str, str, Sequence[Figure], Sequence[Section]]
"""Verdict, its mood, figures and sections."""


def build_page(run: RunFiles) -> Page:
    """Return the page of a measurement.

    Raises:
        CheckpointError: it has not ended.
    """
    found = run.results
    if not found:
        raise CheckpointError(
            f"{run.folder}: this `task={run.task}` has not ended, so there is nothing to show. "
            "Run it again"
        )
    builders: dict[str, Callable[[Mapping[str, Any]], Built]] = {
        "lm_eval": build_benchmarks,
        "analyze": lambda found: build_attention(found, run.heat_maps),
        "score_pairs": build_scores,
        "calibrate_phi": build_calibration,
        "reproducibility": build_claims,
    }
    build = builders.get(run.task, build_policy_test if "policies" in found else build_evaluation)
    verdict, mood, figures, sections = build(found)
    checkpoint = found.get("checkpoint") or found.get("policy")
    return Page(
        title=name_run(Path(checkpoint)) if checkpoint else name_run(run.folder),
        subtitle=f"task={run.task} · {run.folder.name}",
        verdict=verdict,
        mood=mood,
        figures=figures,
        sections=[
            *sections,
            *build_settings(run),
            *build_provenance(run),
            *build_next(list_next(checkpoint)),
        ],
    )


def build_evaluation(found: Mapping[str, Any]) -> Built:
    """Return the loss of a language model on a split, in all units."""
    split = found["split"]
    prefix = "val" if split == "valid" else split
    figures = [
        Figure(key.removeprefix(f"{prefix}/").replace("_", " "), format_number(value))
        for key, value in found.items()
        if key.startswith(f"{prefix}/")
    ]
    rows = [
        (key, format_value(value))
        for key, value in found.items()
        if key not in {"provenance"} and not isinstance(value, dict)
    ]
    loss = found[f"{prefix}/loss"]
    chosen = " This split chose the checkpoint; `split=test` chose nothing." * (split == "valid")
    verdict = f"{format_number(loss)} nats per token on the {split} split.{chosen}"
    return verdict, "open", figures, [Section("All figures", [Table(["", ""], rows)])]


def build_benchmarks(found: Mapping[str, Any]) -> Built:
    """Return the harness's figures of each task, with the standard errors it states."""
    prefix, error = "lm_eval/", "_stderr"
    values = {key.removeprefix(prefix): found[key] for key in found if key.startswith(prefix)}
    rows, figures = [], []
    for key, value in values.items():
        task, _, metric = key.rpartition("/")
        name, at, filtered = metric.partition("@")
        if name.endswith(error):
            continue
        spread = values.get(f"{task}/{name}{error}{at}{filtered}")
        shown = "" if spread is None else f"± {format_number(spread)}"
        counts = found["documents"].get(task, {})
        read = counts.get("effective", ""), found["shots"].get(task, "")
        rows.append((task, metric, format_number(value), shown, *map(str, read)))
        figures.append(Figure(f"{task} {metric}", format_number(value), shown))
    names = sorted({row[0] for row in rows})
    verdict = (
        f"{len(names)} task{'s' * (len(names) != 1)} of the evaluation harness: {', '.join(names)}."
    )
    head = ["task", "metric", "value", "standard error", "documents", "shots"]
    return verdict, "open", figures[:MOST_FIGURES], [Section("Benchmarks", [Table(head, rows)])]


def build_policy_test(found: Mapping[str, Any]) -> Built:
    """Return a schedule's test episodes beside those of every control."""
    verdict, mood = judge_evaluation(found)
    agent = found["policies"][0]
    figures = [
        Figure("return", format_number(agent["return"]["mean"])),
        Figure("excess", f"{agent['excess']['mean']:+.3g}"),
        Figure("perplexity", format_number(agent["final_perplexity"])),
        Figure("episodes", format_number(found["episodes"])),
    ]
    return verdict, mood, figures, [build_policies(found)]


def build_attention(found: Mapping[str, Any], heat_maps: bytes | None) -> Built:
    """Return the statistics of attention a layer, and its heat maps."""
    layers = found["layers"]
    numbers = list(range(1, len(layers) + 1))
    plots = [
        Plot(f"Attention: {name}", "", [Curve(name, {"layer": numbers}, values, style="thick")])
        for name in layers[0]
        if (values := [each[name] for each in layers])
    ]
    rows = [
        (f"layer {number}", *(format_number(value) for value in each.values()))
        for number, each in zip(numbers, layers, strict=True)
    ]
    parts: list[Part] = [Table(["", *layers[0]], rows), Plots(plots)]
    if heat_maps is not None:
        what = "Attention weights in the first window, a row a layer, a column a head"
        parts.append(Picture(heat_maps, what))
    spread = [each["entropy"] for each in layers]
    narrowest = spread.index(min(spread)) + 1
    verdict = (
        f"Entropy {min(spread):.3g} to {max(spread):.3g} over {len(layers)} layers; layer "
        f"{narrowest} looks at the fewest keys."
    )
    return verdict, "open", [], [Section("Attention", parts)]


def build_scores(found: Mapping[str, Any]) -> Built:
    """Return which answers a model prefers, beside what length alone would."""
    overall = found["overall"]
    accuracy, margin = overall["accuracy"], overall["margin"]
    best = max(found["baselines"].items(), key=lambda item: item[1]["share"])
    beats = accuracy["low"] > best[1]["share"]
    verdict = (
        f"It prefers the chosen answer in {accuracy['share']:.0%} of {overall['pairs']} pairs "
        f"({accuracy['low']:.0%} to {accuracy['high']:.0%}); “{best[0].replace('_', ' ')}” alone "
        f"scores {best[1]['share']:.0%}."
    )
    rows = [
        (name, str(each["pairs"]), _share(each["accuracy"]), _mean(each["margin"]))
        for name, each in {"all": overall, **found["by_category"]}.items()
    ]
    length = [(name.replace("_", " "), _share(each)) for name, each in found["baselines"].items()]
    parts: list[Part] = [
        Table(["", "pairs", "accuracy", "margin"], rows),
        Table(["what length alone scores", "accuracy"], length),
    ]
    figures = [
        Figure("accuracy", f"{accuracy['share']:.0%}"),
        Figure("margin", format_number(margin["mean"])),
        Figure("pairs", str(overall["pairs"])),
    ]
    pairs = [
        Text(f"pair {number}", "\n".join(f"{key}: {format_value(each[key])}" for key in each))
        for number, each in enumerate(found["pairs"][:SHOWN_PAIRS], start=1)
    ]
    sections = [Section("Preferences", parts), Section("Pairs", pairs, is_folded=True)]
    return verdict, "good" if beats else "open", figures, sections


def build_calibration(found: Mapping[str, Any]) -> Built:
    """Return the spread of Φ and of its components over windows."""
    spreads = found["quantiles"]
    labels = list(next(iter(spreads.values())))
    rows = [
        (name, *(format_number(each[label]) for label in labels)) for name, each in spreads.items()
    ]
    figures = [
        Figure(key, format_number(value))
        for key, value in found.items()
        if isinstance(value, int | float)
    ]
    verdict = f"Calibrated on {found['windows']} windows of {found['text']}."
    return verdict, "open", figures, [Section("Over windows", [Table(["", *labels], rows)])]


def build_claims(found: Mapping[str, Any]) -> Built:
    """Return whether equal seeds gave equal bits, and another seed others."""
    claims = {name: value for name, value in found.items() if isinstance(value, bool)}
    holds = all(claims.values())
    traces = [[format_value(value) for value in each.values()] for each in found["runs"]]
    parts: list[Part] = [
        Table(["claim", "holds"], [(name, format_value(value)) for name, value in claims.items()]),
        Table(list(found["runs"][0]), traces),
    ]
    failed = "; ".join(name for name, value in claims.items() if not value)
    verdict = f"This does not hold: {failed}."
    if holds:
        verdict = "One seed gives the same bits in two processes, another seed gives others."
    return verdict, "good" if holds else "bad", [], [Section("Bits", parts)]


def list_next(checkpoint: str | None) -> list[tuple[str, str]]:
    """Return the commands that are useful after a measurement."""
    run = None if checkpoint is None else find_run_folder(Path(checkpoint))
    if run is None:
        return [(build_command({"task": "list"}), "every task and option")]
    return [
        (build_command({"task": "report", "checkpoint": run}), "the page of the run it measured"),
        (build_command({"task": "compare", "runs": [run, "<another run>"]}), "beside another run"),
    ]


def _share(found: Mapping[str, float]) -> str:
    return f"{found['share']:.3f} ({found['low']:.3f} to {found['high']:.3f})"


def _mean(found: Mapping[str, float]) -> str:
    return f"{found['mean']:+.3g} ({found['low']:+.3g} to {found['high']:+.3g})"
