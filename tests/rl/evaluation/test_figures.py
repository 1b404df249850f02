"""Figures show what the arrays hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from infinito.rl.evaluation.figures import plot_checkpoints, plot_schedule


def labels_of(axis: Axes) -> list[str]:
    """The texts of an axis's legend."""
    legend = axis.get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


def test_a_schedules_panels() -> None:
    """Two episodes of three steps; terms stack above and below 0, and one of zeros is left out."""
    episodes = {
        "actions": np.array([[0, 1, 2], [0, 0, 2]]),
        "phi": np.full((2, 3), 4.0),
        "perplexity": np.full((2, 3), 10.0),
        "terms/phi": np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]),
        "terms/band": np.full((2, 3), -0.5),
        "terms/jump": np.zeros((2, 3)),
    }
    figure = plot_schedule(episodes, ["TEXT", "PHI", "MIXED"], (3.0, 6.0), "title")
    timeline, phi, perplexity, terms = figure.axes
    assert labels_of(timeline) == [
        "TEXT",
        "PHI",
        "MIXED",
    ]
    assert len(phi.lines) == 3  # an episode each, and their median
    assert perplexity.get_yscale() == "log"
    assert labels_of(terms) == ["phi", "band"]
    bars: list[Any] = list(terms.patches)
    assert [bar.get_height() for bar in bars] == [1, 2, 3, -0.5, -0.5, -0.5]
    assert figure.get_suptitle() == "title"


def test_checkpoints_are_drawn_in_the_order_of_their_steps() -> None:
    rows = [
        {"timesteps": steps, "excess": {"mean": mean, "low": mean - 1, "high": mean + 2}}
        for steps, mean in ((30, 0.3), (10, 0.1), (20, 0.2))
    ]
    (axis,) = plot_checkpoints(rows, "static PHI").axes
    line = axis.lines[0]
    assert np.array_equal(line.get_xdata(), [10, 20, 30])
    assert np.array_equal(line.get_ydata(), [0.1, 0.2, 0.3])
    assert axis.get_ylabel() == "return minus that of static PHI"
