"""Plots of a search for its page: how it went, what its trials learned, where it looked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from infinito.pages.metrics_plots import find_axes
from infinito.pages.plots import Curve, Plot, make_curve
from infinito.run_folder.series.metrics_file import Columns, read_metrics
from infinito.search.importance import estimate_importances
from infinito.search.search import Search
from infinito.search.trials import Trial, tabulate_losses
from infinito.sweeps.report.figures import list_ticks
from infinito.wording import format_value

LEARNING = ("val/loss", "val/bits_per_byte", "val/return", "train/loss", "rl/return_mean")
"""Columns of trials' metrics.csv that learning curves are drawn of: the first that most have."""
MOST_CURVES = 40
"""Trials whose learning curves are drawn: the best ones."""
GREY, RED, RUNNING, FAILED = 7, 1, 0, 4
"""Places in the palette."""


def plot_progress(search: Search, score: str) -> Plot:
    """Return every trial's score, and the best one up to each trial."""
    ended = list_finished(search)
    numbers = [trial.number for trial in ended]
    scores = [first_score(trial) for trial in ended]
    sign = search.signs[0]
    best = [float(each) for each in sign * np.minimum.accumulate(sign * np.array(scores))]
    curves = [
        Curve("trial", {"trial": numbers}, scores, "dots", labels=label_trials(ended), colour=0),
        Curve("best so far", {"trial": numbers}, best, "step", colour=RED),
    ]
    return Plot("Best so far", score, curves, is_wide=True)


def plot_rungs(search: Search, score: str) -> Plot | None:
    """Return the scores of trials at the rungs they came to, coloured by how they stand."""
    shares = search.rungs.shares
    if len(shares) == 1:
        return None
    kinds = (("paused", GREY), ("failed", FAILED), ("running", RUNNING), ("finished", RED))
    curves = [
        Curve(
            f"trial {trial.number} ({trial.state})",
            {"share of the training": list(shares[: len(trial.curve)])},
            trial.curve,
            "line" if len(trial.curve) > 1 else "dots",
            colour=colour,
        )
        for kind, colour in kinds
        for trial in search.own_trials
        if trial.state == kind and trial.curve
    ]
    return Plot("Scores where trials paused", score, curves, is_wide=True)


def plot_cost(search: Search, seconds: Mapping[int, float], score: str) -> Plot | None:
    """Return the best score against the minutes of all trials until then."""
    ended = [trial for trial in list_finished(search) if trial.confirms is None]
    if not ended or not seconds:
        return None
    spent = np.cumsum([seconds.get(trial.number, 0.0) for trial in search.trials]) / 60
    minutes = [float(spent[trial.number]) for trial in ended]
    sign = search.signs[0]
    best = sign * np.minimum.accumulate([sign * first_score(trial) for trial in ended])
    curve = Curve("best so far", {"minutes of trials": minutes}, best.tolist(), "step", colour=RED)
    return Plot("Best so far by compute", score, [curve], is_wide=True)


def plot_learning(search: Search, runs: Mapping[int, Path]) -> Plot | None:
    """Return the learning curves of the best trials; None where trials leave none.

    Args:
        search: With its trials.
        runs: Folders of trials by their number.
    """
    sign = search.signs[0]
    order = sorted(list_finished(search), key=lambda trial: sign * first_score(trial))
    shown = [trial for trial in order[:MOST_CURVES] if trial.number in runs]
    tables = {trial.number: read_metrics(runs[trial.number]) for trial in shown}
    having = {
        key: [trial for trial in shown if count_points(tables[trial.number], key) > 1]
        for key in LEARNING
    }
    key = max(LEARNING, key=lambda name: len(having[name]))
    if not having[key]:
        return None
    curves = []
    for trial in reversed(having[key]):
        is_best = trial is order[0]
        table = tables[trial.number]
        axes = {name: values for name, values in find_axes(table).items() if name != "epoch"}
        curves.append(
            make_curve(
                f"trial {trial.number}{' (best)' * is_best}",
                axes,
                table[key],
                style="thick" if is_best else "line",
                colour=RED if is_best else GREY,
            )
        )
    note = f"the best {len(curves)} trials" if len(curves) < len(order) else "a curve a trial"
    return Plot("Learning curves", key, curves, note, is_wide=True)


def plot_slices(search: Search, score: str) -> list[Plot]:
    """Return the scores over each parameter, one plot each."""
    ended = list_finished(search)
    rows = np.array([search.space.encode(trial.params) for trial in ended])
    scores, labels = [first_score(trial) for trial in ended], label_trials(ended)
    best = search.best()
    plots = []
    for index, parameter in enumerate(search.space.parameters):
        name = parameter.name
        units = [float(unit) for unit in rows[:, index]]
        curves = [Curve("trial", {name: units}, scores, "dots", labels=labels, colour=0)]
        if best is not None:
            at = ended.index(best)
            mark = {name: [units[at]]}
            curves.append(
                Curve("best", mark, [scores[at]], "dots", labels=[labels[at]], colour=RED)
            )
        plots.append(Plot(name, score, curves, x_ticks=list_ticks(parameter)))
    return plots


def plot_importances(search: Search) -> Plot:
    """Return what each parameter alone explains, with 90 % intervals."""
    ended = list_finished(search)
    rows = np.array([search.space.encode(trial.params) for trial in ended])
    found = estimate_importances(rows, tabulate_losses(ended, search.signs)[:, 0])
    order = np.argsort([each.share for each in found])
    axis = "share of the variance of ranks"
    bars = [
        Curve(
            "90 % interval",
            {axis: [found[index].low, found[index].high]},
            [place, place],
            "thick",
            colour=0,
        )
        for place, index in enumerate(order)
    ]
    shares = [float(found[index].share) for index in order]
    labels = [f"{search.space.names[index]}: {found[index].share:.2f}" for index in order]
    places = list(range(len(order)))
    dots = Curve("alone", {axis: shares}, places, "dots", labels=labels, colour=0)
    ticks = [(place, search.space.names[index]) for place, index in enumerate(order)]
    return Plot("Importances", "", [dots, *bars], y_ticks=ticks, is_wide=True)


def plot_front(search: Search, scores: Sequence[str]) -> Plot:
    """Return the first two scores of all trials, and the Pareto front."""
    ended = list_finished(search)
    front = sorted((trial for trial in search.pareto_front() if trial.values), key=first_score)
    curves = [
        Curve(
            name,
            {scores[0]: [(trial.values or (0.0,))[0] for trial in trials]},
            [(trial.values or (0.0, 0.0))[1] for trial in trials],
            "dots",
            labels=label_trials(trials),
            colour=colour,
        )
        for name, trials, colour in (("trial", ended, 0), ("Pareto front", front, RED))
    ]
    return Plot("Pareto front", scores[1], curves, is_wide=True)


def list_finished(search: Search) -> list[Trial]:
    """Return the trials that have a score."""
    return [trial for trial in search.own_trials if trial.state == "finished" and trial.values]


def first_score(trial: Trial) -> float:
    """Return the first score of a finished trial."""
    assert trial.values is not None
    return float(trial.values[0])


def label_trials(trials: Sequence[Trial]) -> list[str]:
    """Return what to say of each trial: its number and its settings, a line each."""
    return [
        "\n".join(
            [
                f"trial {trial.number}",
                *(f"{name}={format_value(value)}" for name, value in trial.params.items()),
            ]
        )
        for trial in trials
    ]


def count_points(table: Columns, key: str) -> int:
    """Return how many figures a column has."""
    return sum(value is not None for value in table.get(key, []))
