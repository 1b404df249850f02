"""Row statistics against the weights of the slow reference."""

from __future__ import annotations

import math

import pytest
import torch

from infinito.attention.reference import reference_attention
from infinito.attention.row_statistics import row_statistics

METRICS = ("dot", "l1", "l2", "sq_l2", "cosine", "linf")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("time_q", "time_k"), [(70, 70), (1, 90), (9, 5)])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("padded", [True, False])
def test_they_are_those_of_the_reference_weights(metric, time_q, time_k, causal, padded):
    torch.manual_seed(0)
    queries, keys = torch.randn(2, 4, time_q, 16), torch.randn(2, 2, time_k, 16)
    real = torch.rand(2, time_k) < 0.7 if padded else None
    options = {"metric": metric, "scale": 0.7, "causal": causal, "key_padding": real}
    found = row_statistics(queries, keys, **options)
    weights = reference_attention(queries.double(), keys.double(), keys.double(), **options)[1]
    seen = (weights > 0).sum(-1)
    torch.testing.assert_close(
        found.entropy, torch.special.entr(weights).sum(-1).float(), atol=1e-5, rtol=1e-5
    )
    torch.testing.assert_close(found.largest, weights.amax(-1).float(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.mean, seen.float().reciprocal().where(seen > 0, 0.0))
    assert (found.log_sum_exp == -math.inf).equal(seen == 0)


@pytest.mark.parametrize("metric", METRICS)
def test_equal_scores_spread_evenly(metric):
    """n equal keys: entropy log n, mean and largest weight 1/n; the last row sees all 8."""
    tokens = torch.ones(1, 1, 8, 4)
    found = row_statistics(tokens, tokens, metric=metric)
    torch.testing.assert_close(found.entropy[0, 0], torch.arange(1, 9).log())
    torch.testing.assert_close(found.mean[0, 0], 1 / torch.arange(1, 9))
    torch.testing.assert_close(found.largest, found.mean)


def test_log_sum_exp_of_distances_is_worked_by_hand():
    """l1, dim 1: the last query 0 is 0 and 1 away from its keys, log(e⁰ + e⁻¹) = 0.3133."""
    queries, keys = torch.zeros(1, 1, 2, 1), torch.tensor([0.0, 1.0]).view(1, 1, 2, 1)
    found = row_statistics(queries, keys, metric="l1").log_sum_exp[0, 0]
    torch.testing.assert_close(found, torch.tensor([0.0, math.log(1 + math.exp(-1))]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_row_of_nan_is_not_one_that_sees_nothing(dtype):
    """On the fused path (float32) and in blocks (float64)."""
    queries, keys = torch.randn(2, 1, 1, 6, 8, dtype=dtype)
    queries[..., 5, 0] = torch.nan
    found = row_statistics(queries, keys, metric="l1")
    assert found.mean[0, 0, 5] == pytest.approx(1 / 6)
    for statistic in (found.log_sum_exp, found.entropy, found.largest):
        assert statistic[0, 0].isnan().tolist() == [False] * 5 + [True]
    assert math.isnan(found.means()["max"])
