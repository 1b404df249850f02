"""Draws the curves of a preference tuning: loss, margins, accuracies, log-probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

PANELS = {
    "loss": ("loss", "nats", ("train/loss",)),
    "margins": ("reward margin", "β · nats", ("rewards/margins",)),
    "accuracies": ("reward accuracy", "share of pairs", ("rewards/accuracies",)),
    "log_probabilities": (
        "log-probability of answers",
        "nats",
        ("logps/chosen", "logps/rejected"),
    ),
}
"""Title, unit and metrics of each figure."""

COLOURS = {"logps/rejected": "tab:red"}


def draw_curves(history: Sequence[Mapping[str, float]]) -> dict[str, Figure]:
    """Return a figure for each panel, with training (thin) and held-out (thick) values over steps.

    Args:
        history: Points in order, each with its `step`, metrics of training by name and held-out
            ones after `val/`.
    """
    return {name: _draw(history, *panel) for name, panel in PANELS.items()}


def save_figures(figures: Mapping[str, Figure], folder: Path) -> dict[str, np.ndarray]:
    """Write each figure as `<name>.png` and return its pixels, (height, width, 3) of uint8."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = {}
    for name, figure in figures.items():
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=110)
        with Image.open(path) as image:
            pixels[name] = np.asarray(image.convert("RGB"))
    return pixels


def _draw(
    history: Sequence[Mapping[str, float]], title: str, unit: str, metrics: Sequence[str]
) -> Figure:
    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axis = figure.subplots()
    for metric in metrics:
        colour = COLOURS.get(metric, "tab:blue")
        name = metric.rpartition("/")[2] if len(metrics) > 1 else ""
        thin, thick = {"lw": 0.9, "alpha": 0.7}, {"lw": 2.0, "marker": "o", "ms": 3}
        for key, style, where in (
            (metric, thin, "training"),
            (f"val/{metric.removeprefix('train/')}", thick, "held out"),
        ):
            points = [(each["step"], each[key]) for each in history if key in each]
            if points:
                steps, values = zip(*points, strict=True)
                axis.plot(steps, values, color=colour, label=f"{name} {where}".strip(), **style)
    axis.set_title(title, fontsize=10)
    axis.set_xlabel("step")
    axis.set_ylabel(unit)
    axis.grid(alpha=0.3)
    if axis.lines:
        axis.legend(fontsize=8)
    return figure
