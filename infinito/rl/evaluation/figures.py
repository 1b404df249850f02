"""Draws a schedule's episodes and the progress of its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("tab:blue", "tab:red", "tab:green")
"""Colour of each action, by number."""


def plot_schedule(
    episodes: Mapping[str, np.ndarray],
    actions: Sequence[str],
    band: tuple[float, float],
    title: str = "",
) -> Figure:
    """Return four panels: share of actions, Φ and perplexity by step, stacked reward terms.

    Args:
        episodes: "actions", "phi", "perplexity" and each "terms/<name>", all (episodes, steps).
        actions: Names of the actions, by number.
        band: Lower and upper end of the band of Φ.
        title: Title of the figure.
    """
    figure = Figure(figsize=(9, 6.5), layout="constrained")
    (timeline, phi), (perplexity, terms) = figure.subplots(2, 2)
    _plot_actions(timeline, episodes["actions"], actions)
    _plot_trajectories(phi, episodes["phi"], "Φ")
    phi.axhspan(*band, color="tab:green", alpha=0.1)
    _plot_trajectories(perplexity, episodes["perplexity"], "perplexity (probe batch)")
    perplexity.set_yscale("log")
    _plot_terms(terms, {name: each for name, each in episodes.items() if name.startswith("terms/")})
    for axis in (timeline, phi, perplexity, terms):
        axis.set_xlabel("step of the episode")
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def plot_checkpoints(rows: Sequence[Mapping[str, object]], baseline: str) -> Figure:
    """Return the excess return over the baseline at each checkpoint, with its interval.

    Args:
        rows: "timesteps" and "excess" (mean, low and high) of each checkpoint.
        baseline: Name of the baseline.
    """
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axis = figure.subplots()
    ordered = sorted(rows, key=lambda row: row["timesteps"])  # type: ignore[arg-type,return-value]
    steps = [row["timesteps"] for row in ordered]
    mean, low, high = (
        np.array([row["excess"][name] for row in ordered])  # type: ignore[index]
        for name in ("mean", "low", "high")
    )
    axis.errorbar(steps, mean, yerr=[mean - low, high - mean], marker="o", capsize=3)  # type: ignore[arg-type]
    axis.axhline(0, color="black", linewidth=0.8)
    axis.set_xlabel("environment steps")
    axis.set_ylabel(f"return minus that of {baseline}")
    return figure


def _plot_actions(axis: Axes, actions: np.ndarray, names: Sequence[str]) -> None:
    shares = [(actions == number).mean(0) for number in range(len(names))]
    steps = np.arange(1, actions.shape[1] + 1)
    axis.stackplot(steps, shares, labels=names, colors=COLOURS, alpha=0.8)
    axis.set_ylim(0, 1)
    axis.set_ylabel("share of actions")
    axis.legend(loc="lower right", fontsize=7)


def _plot_trajectories(axis: Axes, values: np.ndarray, name: str) -> None:
    steps = np.arange(1, values.shape[1] + 1)
    axis.plot(steps, values.T, color="grey", linewidth=0.4, alpha=0.5)
    axis.plot(steps, np.median(values, axis=0), color="black")
    axis.set_ylabel(name)


def _plot_terms(axis: Axes, terms: Mapping[str, np.ndarray]) -> None:
    means = {name.rpartition("/")[2]: each.mean(0) for name, each in terms.items()}
    above = below = np.zeros(next(iter(means.values())).shape)
    steps = np.arange(1, len(above) + 1)
    for name, each in means.items():
        if not each.any():
            continue
        base = np.where(each >= 0, above, below)
        axis.bar(steps, each, bottom=base, width=1.0, label=name)
        above, below = above + each.clip(min=0), below + each.clip(max=0)
    axis.set_ylabel("reward, mean of each term")
    axis.legend(fontsize=6)
