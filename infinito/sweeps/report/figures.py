"""Pictures of a search: how it went, where it looked, what mattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from infinito.search.importance import estimate_importances
from infinito.search.scores import rank
from infinito.search.space.parameters import Array
from infinito.search.space.space import Categorical, Parameter, Space
from infinito.search.trials import Trial, tabulate_losses
from infinito.wording import format_value

COLOURS = colormaps["viridis_r"]
"""Dark is good."""


def plot_best_so_far(trials: Sequence[Trial], sign: float) -> Figure:
    """Plot every trial's first score, and the best one up to each trial.

    Args:
        sign: 1 where less is better, −1 where more is.
    """
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axis = figure.subplots()
    ended = [trial for trial in trials if trial.state == "finished"]
    numbers = [trial.number for trial in ended]
    scores = np.array([(trial.values or (np.nan,))[0] for trial in ended])
    axis.plot(numbers, scores, "o", markersize=4, alpha=0.6, label="trial")
    best = sign * np.minimum.accumulate(sign * scores)
    axis.step(numbers, best, where="post", color="C3", label="best so far")
    failed = [trial.number for trial in trials if trial.state == "failed"]
    for number in failed:
        axis.axvline(number, color="0.8", linewidth=1, zorder=0)
    axis.set_xlabel("trial (grey lines: failed)" if failed else "trial")
    axis.set_ylabel("score")
    if len(scores) and scores.min() > 0 and scores.max() > 30 * scores.min():
        axis.set_yscale("log")
    axis.legend(frameon=False)
    return figure


def plot_tree(root: Mapping[str, Any]) -> Figure:
    """Plot the tree of `Search.tree()`: size shows visits, colour the mean reward."""
    places: list[tuple[float, Mapping[str, Any], list[float]]] = []
    leaves = _lay_out(root, 0, places)
    depth = max(node["depth"] for _, node, _ in places)
    width, height = max(5.0, 1.1 * leaves), 2.4 + 1.0 * depth
    figure = Figure(figsize=(min(width, 24), height), layout="constrained")
    axis = figure.subplots()
    for x, node, below in places:
        y = -node["depth"]
        for child in below:
            axis.plot([x, child], [y, y - 1], color="0.7", linewidth=1, zorder=0)
        value = node["value"]
        size = 300 + 10 * node["visits"]
        axis.scatter([x], [y], s=size, color=COLOURS(value), edgecolor="0.3")
        text, ink = f"{node['visits']}\n{value:.2f}", "w" if value > 0.5 else "k"
        axis.text(x, y, text, ha="center", va="center", fontsize=7, color=ink)
        if node["split"] is not None:
            axis.text(x, y - 0.4, node["split"], ha="center", va="center", fontsize=7)
    axis.set_axis_off()
    axis.margins(0.1)
    axis.set_title("visits and mean reward (1 best, 0 worst) of each region", fontsize=9)
    return figure


def plot_parallel_coordinates(space: Space, rows: Array, ranks: Array) -> Figure:
    """Plot each trial as a line over all parameters; dark lines scored well.

    Args:
        space: Names the axes.
        rows: (trials, parameters).
        ranks: (trials,): 0 the best to 1 the worst.
    """
    figure = Figure(figsize=(max(6.0, 1.4 * len(space.names)), 3.8), layout="constrained")
    axis = figure.subplots()
    for index in np.argsort(-ranks):
        axis.plot(rows[index], color=COLOURS(1 - ranks[index]), alpha=0.75, linewidth=1)
    for place, parameter in enumerate(space.parameters):
        axis.axvline(place, color="0.8", linewidth=1, zorder=0)
        for unit, text in list_ticks(parameter):
            axis.text(place + 0.02, unit, text, fontsize=7, va="center")
    axis.set_xticks(range(len(space.names)), space.names, rotation=20, ha="right", fontsize=8)
    axis.set_yticks([])
    axis.set_ylim(-0.05, 1.05)
    axis.set_xlim(-0.1, len(space.names) - 0.6)
    return figure


def plot_importances(space: Space, rows: Array, values: Array) -> Figure:
    """Plot what each parameter alone explains, with 90 % intervals.

    Args:
        space: Names the bars.
        rows: (trials, parameters).
        values: (trials,): losses.
    """
    found = estimate_importances(rows, values)
    order = np.argsort([each.share for each in found])
    figure = Figure(figsize=(6, 0.8 + 0.35 * len(found)), layout="constrained")
    axis = figure.subplots()
    for place, index in enumerate(order):
        each = found[index]
        axis.barh(place, each.share, color="C0", alpha=0.7)
        axis.plot([each.low, each.high], [place, place], color="0.2", linewidth=1.5)
    axis.set_yticks(range(len(found)), [space.names[index] for index in order], fontsize=8)
    axis.set_xlim(0, 1)
    axis.set_xlabel("share of the variance of ranks that it explains alone")
    return figure


def plot_slices(space: Space, rows: Array, scores: Array) -> Figure:
    """Plot scores over each parameter; late trials are dark.

    Args:
        space: Names the panels.
        rows: (trials, parameters).
        scores: (trials,).
    """
    count = len(space.names)
    columns = min(4, count)
    lines = -(-count // columns)
    figure = Figure(figsize=(2.4 * columns + 0.6, 2.3 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
    for panel in panels[count:]:
        panel.set_visible(False)
    for index, parameter in enumerate(space.parameters):
        panel = panels[index]
        panel.scatter(
            rows[:, index], scores, c=np.arange(len(scores)), cmap="viridis_r", s=12, alpha=0.8
        )
        marks = list_ticks(parameter)
        panel.set_xticks([unit for unit, _ in marks], [text for _, text in marks], fontsize=7)
        panel.set_title(parameter.name, fontsize=8)
        panel.set_xlim(-0.05, 1.05)
    figure.supylabel("score", fontsize=8)
    return figure


def plot_pareto_front(trials: Sequence[Trial], front: Sequence[Trial]) -> Figure:
    """Plot the first two objectives of all trials, the front in red."""
    figure = Figure(figsize=(5, 4), layout="constrained")
    axis = figure.subplots()
    points = np.array([trial.values[:2] for trial in trials if trial.values])
    best = np.array(sorted(trial.values[:2] for trial in front if trial.values))
    axis.plot(*points.T, "o", markersize=4, alpha=0.5)
    axis.plot(*best.T, "o-", color="C3", markersize=5, linewidth=1)
    axis.set_xlabel("objective 0")
    axis.set_ylabel("objective 1")
    return figure


def plot_all(search: Any) -> dict[str, Figure]:
    """Plot all pictures that a search has enough trials for, by name.

    Args:
        search: A `Search`.
    """
    finished = [trial for trial in search.own_trials if trial.state == "finished"]
    found = {"tree": plot_tree(search.tree())}
    if not finished:
        return found
    space, sign = search.space, search.signs[0]
    rows = np.array([space.encode(trial.params) for trial in finished])
    values = tabulate_losses(finished, search.signs)[:, 0]
    return {
        "best_so_far": plot_best_so_far(search.own_trials, sign),
        **found,
        "importances": plot_importances(space, rows, values),
        "slices": plot_slices(space, rows, sign * values),
        "parallel_coordinates": plot_parallel_coordinates(space, rows, 1 - rank(values)),
        **(
            {"pareto_front": plot_pareto_front(finished, search.pareto_front())}
            if len(search.signs) > 1
            else {}
        ),
    }


def list_ticks(parameter: Parameter) -> list[tuple[float, str]]:
    """Return coordinates and values to mark on a parameter's axis."""
    if isinstance(parameter, Categorical):
        return [(parameter.encode(choice), format_value(choice)) for choice in parameter.choices]
    units = parameter.snap(np.array([0.0, 0.5, 1.0]))
    values = [value.item() for value in parameter.decode(units)]
    return [(float(unit), format_value(value)) for unit, value in zip(units, values, strict=True)]


def _lay_out(
    node: Mapping[str, Any],
    start: float,
    places: list[tuple[float, Mapping[str, Any], list[float]]],
) -> int:
    """Place a node above the middle of its leaves; return how many these are."""
    leaves, below = 0, []
    for child in node["children"]:
        leaves += _lay_out(child, start + leaves, places)
        below.append(places[-1][0])
    x = sum(below) / len(below) if below else start
    places.append((x, node, below))
    return max(1, leaves)
