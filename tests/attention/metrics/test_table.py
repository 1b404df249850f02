"""The table of metrics and the errors of a metric asked for."""

from __future__ import annotations

import pytest

from infinito.attention.metrics.table import KERNELS, METRICS, find_metric, metric_faults
from infinito.errors import ConfigError


def test_every_metric_reduces_to_a_kernel() -> None:
    assert {metric.KERNEL for metric in METRICS.values()} == set(KERNELS)
    assert all(name == kernel.KERNEL for name, kernel in KERNELS.items())


def test_unknown_metric_suggests_a_near_one() -> None:
    with pytest.raises(ConfigError, match=r"'cosin' is not one of .*`attention.metric=cosine`"):
        find_metric("cosin")
    with pytest.raises(ConfigError, match=r"'zzz' is not one of [^?]*$"):
        find_metric("zzz")


@pytest.mark.parametrize("p", [None, 0.5, float("inf"), float("nan")])
def test_lp_needs_an_exponent(p: float | None) -> None:
    with pytest.raises(ConfigError, match=r"`attention.p`=.*at least 1, e.g. `attention.p=3`"):
        find_metric("lp", p)


def test_good_metrics_have_no_fault() -> None:
    assert metric_faults("lp", 1.0) == []
    assert metric_faults("l1", None) == []
