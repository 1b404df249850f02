"""The composite score by hand: its terms, their limits, and NaN."""

from __future__ import annotations

import math

import pytest

from infinito.training.report.composite import composite


@pytest.mark.parametrize(
    ("loss", "entropy", "step_s", "weight", "total"),
    [
        (4.0, 0.5, 0.25, 2.0, 6 + 1 + 0.75),
        (12.0, 0.5, 3.0, 2.0, 0 + 1 + 0),  # a loss above 10 and a step above a second count nothing
        (4.0, 0.5, 0.25, 0.0, 6 + 0 + 0.75),
    ],
)
def test_terms_add_up(
    loss: float, entropy: float, step_s: float, weight: float, total: float
) -> None:
    found = composite(loss, entropy, step_s, weight)
    assert found["composite"] == pytest.approx(total)
    assert found["composite"] == sum(value for name, value in found.items() if "/" in name)


def test_a_diverged_loss_is_no_score() -> None:
    assert math.isnan(composite(math.nan, 0.5, 0.25, 1.0)["composite"])
