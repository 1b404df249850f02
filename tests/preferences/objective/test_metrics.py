"""Figures by hand, and when displacement is worth a warning."""

from __future__ import annotations

import pytest
import torch

from infinito.preferences.objective.losses import PairLogProbs
from infinito.preferences.objective.metrics import (
    compute_pair_metrics,
    compute_token_metrics,
    describe_displacement,
)


def test_pair_figures_by_hand() -> None:
    """Ratios (+1, −3) for chosen and (−1, −5) for rejected answers of 2 and 4 tokens, β = 0.5."""
    pairs = PairLogProbs(
        torch.tensor([-3.0, -9.0]).double(),
        torch.tensor([-5.0, -9.0]).double(),
        torch.tensor([-4.0, -6.0]).double(),
        torch.tensor([-4.0, -4.0]).double(),
        torch.tensor([2, 2]),
        torch.tensor([4, 4]),
    )
    found = {name: float(value) for name, value in compute_pair_metrics(pairs, 0.5).items()}
    assert found == pytest.approx(
        {
            "rewards/chosen": -0.5,
            "rewards/rejected": -1.5,
            "rewards/accuracies": 1.0,
            "rewards/margins": 1.0,
            "logps/chosen": -6.0,
            "logps/rejected": -7.0,
            "displacement/kl_chosen": 0.5,
            "displacement/chosen_fell": 0.5,
        }
    )


def test_token_figures_by_hand() -> None:
    found = compute_token_metrics(
        entropy=torch.tensor([1.0, 2.0, 6.0]),
        mean_logits=torch.tensor([1.0, 3.0, 5.0]),
        is_top=torch.tensor([True, False, True]),
        of_chosen=torch.tensor([True, True, False]),
    )
    values = {name: float(value) for name, value in found.items()}
    assert values == {
        "logits/chosen": 2.0,
        "logits/rejected": 5.0,
        "entropy": 3.0,
        "mean_token_accuracy": 0.5,
    }


@pytest.mark.parametrize(
    ("margin", "chosen", "warned"),
    [(1.0, -0.5, True), (1.0, 0.5, False), (-0.1, -0.5, False), (0.0, 0.0, False)],
)
def test_displacement(margin: float, chosen: float, warned: bool) -> None:
    means = {
        "rewards/margins": margin,
        "rewards/chosen": chosen,
        "displacement/chosen_fell": 0.75,
    }
    warning = describe_displacement(means)
    assert (warning is not None) == warned
    if warning:
        assert "margin rose to 1" in warning
        assert "75% of them" in warning
