"""The page of a training of a language model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infinito.config import LanguagePhiConf
from infinito.pages.document import Figure, Page, Picture, Plots, Section
from infinito.pages.kinds.run_files import RunFiles
from infinito.pages.kinds.sections import (
    build_curves,
    build_measured,
    build_next,
    build_provenance,
    build_samples,
    build_settings,
    build_validations,
    format_number,
    name_run,
)
from infinito.pages.metrics_plots import ATTENTION, BITS, LANGUAGE, LOSS, PHI, plot_groups
from infinito.run_folder.commands import build_command, list_curves
from infinito.run_folder.series.metrics_file import Columns

CONVERSATIONS = ("chat", "skills")
"""Values of `data` that are no running text."""
BITS_KEY = "val/bits_per_byte"
UNIT = "val/loss"


def build_page(run: RunFiles) -> Page:
    """Return the page of a training, finished or not."""
    summary, columns = run.results, run.columns
    verdict, mood, notes = judge(summary) if summary else (describe_progress(columns), "open", [])
    plots, others = plot_groups(columns, (*LANGUAGE, *ATTENTION), list_levels(run))
    titles = {group.title for group in ATTENTION}
    attention = [plot for plot in plots if plot.title in titles]
    plots = [plot for plot in plots if plot.title not in titles]
    return Page(
        title=name_run(run.folder),
        subtitle=f"Training of a language model · {run.values['name']} · seed {run.values['seed']}",
        verdict=verdict,
        mood=mood,
        notes=notes,
        figures=list_figures(summary) if summary else list_last(columns),
        sections=[
            *build_curves(plots, others),
            *build_validations(columns),
            *build_samples(run),
            *build_attention(run, Plots(attention)),
            *build_measured(run),
            *build_settings(run),
            *build_provenance(run),
            *build_next(list_next(run.folder, run.values, bool(summary))),
        ],
    )


def judge(summary: Mapping[str, Any]) -> tuple[str, str, list[str]]:
    """Return a sentence on the result, "good", "bad" or "open", and what else to know."""
    bits = summary.get(BITS_KEY)
    baselines = summary.get("baselines", {})
    bigram = baselines.get("bigram", {}).get(BITS_KEY)
    verdict, mood = f"Validation loss {format_number(summary[UNIT])} nats per token.", "open"
    if bits is not None and bigram is not None:
        mood = "good" if bits < bigram else "bad"
        difference = f"{abs(bits - bigram):.3g} bits per byte"
        better = "better" if bits < bigram else "worse"
        verdict = (
            f"{bits:.3f} bits per byte: {difference} {better} than a model that counts pairs of "
            "tokens."
        )
    notes = []
    best, steps = summary.get("best_step"), summary.get("steps")
    if best is not None and steps is not None and best < steps:
        notes.append(
            f"The best checkpoint is that of step {best:,} of {steps:,}: later validations were "
            "worse. The figures here are its own."
        )
    if summary.get("stopped_early"):
        notes.append("The training stopped early, as `trainer.patience` allows.")
    if "entropy rate" in summary:
        floor = format_number(summary["entropy rate"])
        notes.append(f"No model can go below {floor} nats per token on this source.")
    return verdict, mood, notes


def describe_progress(columns: Columns) -> str:
    """Return how far a training is that has not ended."""
    if not columns.get("step"):
        return "The training has not logged anything yet."
    step = format_number(columns["step"][-1])
    losses = [value for value in columns.get(UNIT, []) if value is not None]
    if not losses:
        return f"At step {step}; no validation yet."
    return f"At step {step}: validation loss {format_number(losses[-1])}, best {min(losses):.4g}."


def list_figures(summary: Mapping[str, Any]) -> list[Figure]:
    """Return the figures of a finished training that stand at the top."""
    names = {
        BITS_KEY: "bits per byte",
        UNIT: "validation loss, nats",
        "val/perplexity": "perplexity",
        "val/word_perplexity": "word perplexity",
        "val/phi": "Φ",
        "steps": "steps",
        "parameters": "parameters",
        "tokens_per_s": "tokens per second",
        "elapsed_s": "seconds",
    }
    return [
        Figure(name, format_number(summary[key]))
        for key, name in names.items()
        if isinstance(summary.get(key), int | float)
    ]


def list_last(columns: Columns) -> list[Figure]:
    """Return the last figures of a training that has not ended."""
    names = {
        "step": "step",
        BITS_KEY: "bits per byte",
        UNIT: "validation loss, nats",
        "train/loss": "training loss, nats",
        "val/phi": "Φ",
        "train/tokens_per_s": "tokens per second",
        "seconds": "seconds",
    }
    last = {
        key: next((value for value in reversed(columns.get(key, [])) if value is not None), None)
        for key in names
    }
    return [Figure(names[key], format_number(value)) for key, value in last.items() if value]


def list_levels(run: RunFiles) -> dict[str, dict[str, float]]:
    """Return what curves are compared with: the baselines of the text, the band of Φ."""
    baselines = run.results.get("baselines", {})
    low, high = run.values["objective"].get("band", LanguagePhiConf().band)
    levels: dict[str, dict[str, float]] = {PHI: {"band from": low, "band to": high}}
    for title, key in ((LOSS, UNIT), (BITS, BITS_KEY)):
        if key in baselines.get("bigram", {}):
            levels[title] = {"bigram model": baselines["bigram"][key]}
    if "entropy rate" in run.results:
        levels.setdefault(LOSS, {})["entropy of the source"] = run.results["entropy rate"]
    return levels


def build_attention(run: RunFiles, plots: Plots) -> list[Section]:
    """Return the statistics of attention a layer, and heat maps of the last validation."""
    parts: list[Any] = [plots] if plots.plots else []
    if run.heat_maps is not None:
        what = "Attention weights in the first validation window, a row a layer, a column a head"
        parts.append(Picture(run.heat_maps, what))
    note = "Entropy is 0 where a query looks at one key, 1 where it looks at all alike."
    return [Section("Attention", parts, note)] if parts else []


def list_next(
    folder: Path, values: Mapping[str, Any], has_ended: bool = True
) -> list[tuple[str, str]]:
    """Return the commands that are useful after a training, each with what it does.

    Args:
        folder: The run's.
        values: Its configuration.
        has_ended: Whether it has.
    """
    if not has_ended:
        return [
            (build_command({"resume": folder}), "go on, if it has stopped"),
            *list_curves(folder, values, "the same curves live"),
        ]
    commands = [
        ({"task": "generate", "generation.prompt": "The "}, "write text"),
        ({"task": "evaluate", "split": "test"}, "an unseen split"),
        ({"task": "analyze"}, "attention: entropy and heat maps"),
    ]
    if values["data"]["name"] in CONVERSATIONS:
        commands = [
            ({"task": "chat"}, "talk to it"),
            ({"task": "serve"}, "talk to it in the browser"),
        ]
    return [
        *((build_command({**each, "checkpoint": folder}), purpose) for each, purpose in commands),
        *list_curves(folder, values, "curves, samples, heat maps"),
    ]
