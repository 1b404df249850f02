"""Columns of metrics.csv find their plot, their name and their axes."""

from __future__ import annotations

from infinito.pages.metrics_plots import LANGUAGE, find_axes, name_curve, plot_groups

COLUMNS: dict[str, list[float | None]] = {
    "step": [1, 2],
    "tokens": [8, 16],
    "seconds": [0.1, None],
    "train/loss": [3.0, 2.0],
    "val/loss": [None, 2.5],
    "train/phi/temporal": [0.5, 0.6],
    "something/new": [1.0, 2.0],
}


def test_training_and_validation_share_a_plot() -> None:
    plots, others = plot_groups(COLUMNS, LANGUAGE, {"Loss": {"bigram model": 1.0}})
    loss = plots[0]
    assert loss.title == "Loss"
    assert [(curve.name, curve.style) for curve in loss.curves] == [
        ("training", "line"),
        ("validation", "thick"),
    ]
    assert loss.curves[1].x == {"step": [2], "tokens": [16]}
    assert loss.levels == {"bigram model": 1.0}
    assert [plot.title for plot in plots] == ["Loss", "Components of Φ"]
    assert [plot.title for plot in others] == ["something/new"]


def test_an_axis_with_a_gap_is_none() -> None:
    assert list(find_axes(COLUMNS)) == ["step", "tokens"]


def test_curves_are_named_by_what_tells_them_apart() -> None:
    both = ["train/loss", "val/loss"]
    assert [name_curve(name, both) for name in both] == ["training", "validation"]
    parts = ["rl/action/TEXT", "rl/action/PHI"]
    assert [name_curve(name, parts) for name in parts] == ["TEXT", "PHI"]
    answers = ["train/logps/chosen", "train/logps/rejected", "val/logps/chosen"]
    assert name_curve(answers[2], answers) == "chosen, validation"
