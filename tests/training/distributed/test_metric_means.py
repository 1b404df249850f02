"""Weighted means by hand, and bit-equal to torchmetrics where that one is right."""

from __future__ import annotations

import math

import pytest
import torch

from infinito.training.distributed.metric_means import MetricMeans


def test_means_by_hand() -> None:
    """(2·1 + 3·6)/5 = 4; a metric of the second batch alone is its value there."""
    means = MetricMeans()
    means.add({"loss": torch.tensor(1.0)}, 2)
    means.add({"loss": torch.tensor(6.0), "phi": torch.tensor(0.5)}, 3)
    assert means.take() == {"loss": 4.0, "phi": 0.5}
    assert means.take() == {}


def test_float32_sums_are_those_of_torchmetrics() -> None:
    metric = pytest.importorskip("torchmetrics").MeanMetric()
    means = MetricMeans(torch.float32)
    torch.manual_seed(0)
    for count in (7, 128, 4096, 3):
        value = torch.randn(())
        metric.update(value, count)
        means.add({"loss": value}, count)
    assert means.take()["loss"] == float(metric.compute())


def test_booleans_give_a_share() -> None:
    means = MetricMeans()
    for inside in (True, False, True, True):
        means.add({"in_band": torch.tensor(inside)}, 1)
    assert means.take() == {"in_band": 0.75}


def test_nan_is_kept() -> None:
    means = MetricMeans()
    means.add({"loss": torch.tensor(1.0)}, 1)
    means.add({"loss": torch.tensor(float("nan"))}, 1)
    assert math.isnan(means.take()["loss"])


def test_saved_sums_go_on() -> None:
    whole, stopped, resumed = MetricMeans(), MetricMeans(), MetricMeans()
    for means in (whole, stopped):
        means.add({"loss": torch.tensor(0.1)}, 3)
    resumed.load_state_dict(stopped.state_dict())
    for means in (whole, resumed):
        means.add({"loss": torch.tensor(0.7)}, 2)
    assert whole.take() == resumed.take()


def test_sums_are_added_over_processes() -> None:
    """Two processes with equal sums: the sums double and the mean stays."""

    class Doubling:
        def reduce(self, part: torch.Tensor, reduce_op: str) -> torch.Tensor:
            assert reduce_op == "sum"
            return 2 * part

    means = MetricMeans()
    means.add({"loss": torch.tensor(3.0)}, 5)
    assert means.take(Doubling()) == {"loss": 3.0}
