"""The attention function: what it refuses, and what it does before a backend runs."""

from __future__ import annotations

import pytest
import torch

from infinito.attention import BACKENDS, METRICS, distance_attention, prepare, reference_attention
from infinito.errors import ConfigError

METRIC_OF = {"sdpa": "sq_l2"}


def tensors(heads: int = 4, kv_heads: int = 2, time: int = 5) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    queries = torch.randn(2, heads, time, 8, dtype=torch.float64)
    keys, values = torch.randn(2, 2, kv_heads, time, 8, dtype=torch.float64)
    return queries, keys, values


def test_a_number_is_left_to_the_backend() -> None:
    queries, keys, values = tensors()
    *same, factor = prepare(queries, keys, values, "l1", 3.0)
    assert same == [queries, keys, values]
    assert factor == pytest.approx(3 / 8**0.5)


@pytest.mark.parametrize("metric", METRICS)
def test_a_learned_scale_is_folded_in(metric: str) -> None:
    """What `prepare` makes of it scores, with factor 1, as the definition does."""
    queries, keys, values = tensors()
    p = 3.0 if metric == "lp" else None
    scale = torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=torch.float64)
    *prepared, factor = prepare(queries, keys, values, metric, scale, p)
    assert factor == 1.0
    unscaled, dim = METRICS[METRICS[metric].KERNEL], queries.shape[-1]
    expected = reference_attention(queries, keys, values, metric=metric, scale=scale, p=p)[1]
    by = 1 / unscaled.factor(1.0, dim)
    got = reference_attention(*prepared, metric=METRICS[metric].KERNEL, scale=by, p=p)[1]
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize(
    ("heads", "kv_heads", "cut"),
    [(4, 3, slice(None)), (2, 4, slice(None)), (4, 0, slice(None)), (4, 2, slice(0, 0))],
    ids=["heads do not group", "more key heads", "no key heads", "no keys"],
)
@pytest.mark.parametrize("per", ["model", "head"])
def test_shapes_that_do_not_fit(heads: int, kv_heads: int, cut: slice, per: str) -> None:
    queries, keys, values = tensors(heads, kv_heads)
    scale = torch.ones(heads if per == "head" else 1)
    with pytest.raises(ValueError, match=r"do not fit: expected .*kv_heads dividing heads"):
        distance_attention(queries, keys[:, :, cut], values[:, :, cut], metric="l1", scale=scale)


def test_a_scale_for_other_heads() -> None:
    with pytest.raises(ValueError, match=r"a scale \(3,\) does not fit: expected \(4,\)"):
        distance_attention(*tensors(), metric="l1", scale=torch.ones(3))


@pytest.mark.parametrize("metric", sorted(METRICS))
@pytest.mark.parametrize("scale", [1e-320, 1e-39, 1e39, 1e300])
def test_a_scale_that_float32_does_not_hold_is_refused(metric: str, scale: float) -> None:
    """Kernels would multiply by 0 or infinity, and return NaN."""
    with pytest.raises(ValueError, match=r"multiplied by .* 0 or infinite in float32"):
        distance_attention(
            *tensors(), metric=metric, scale=scale, p=3.0 if metric == "lp" else None
        )


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_the_smallest_scales_that_are_taken_weigh_evenly(metric: str) -> None:
    p = 3.0 if metric == "lp" else None
    queries, keys, values = tensors()
    mixed = distance_attention(queries, keys, values, metric=metric, scale=1e-36, p=p, causal=False)
    assert mixed.isfinite().all()
    expected = values.mean(2, keepdim=True).repeat_interleave(2, 1).expand_as(mixed)
    torch.testing.assert_close(mixed, expected)


def test_values_of_another_batch_are_refused() -> None:
    """The fused kernel would read what lies behind them."""
    queries, keys, values = tensors()
    with pytest.raises(ValueError, match=r"values \(1, 2, 5, 8\) do not fit"):
        distance_attention(queries, keys, values[:1], metric="dot")


@pytest.mark.parametrize("dropout_p", [-0.1, 1.0, 1.5])
def test_a_dropout_that_is_no_share_is_refused(dropout_p: float) -> None:
    """The fused kernel would take it for some other one."""
    queries, keys, values = (tensor.float() for tensor in tensors())
    with pytest.raises(ValueError, match=rf"dropout_p={dropout_p}: expected"):
        distance_attention(queries, keys, values, metric="l1", dropout_p=dropout_p)


def test_three_axes_are_refused() -> None:
    queries, keys, values = (tensor[0] for tensor in tensors())
    with pytest.raises(ValueError, match=r"do not fit: expected \(batch, heads, time_q, dim\)"):
        distance_attention(queries, keys, values, metric="dot")


@pytest.mark.parametrize(
    "mask",
    [
        torch.ones(2, 4, dtype=torch.bool),
        torch.ones(2, 5),
        torch.ones(2, 3, 5, 5, dtype=torch.bool),
        torch.ones(5, 5, dtype=torch.bool),
    ],
    ids=["too short", "not bool", "other heads", "no batch"],
)
def test_a_mask_that_does_not_fit(mask: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"mask .* does not fit: expected torch.bool \(2, 5\)"):
        distance_attention(*tensors(), metric="dot", key_padding=mask)


def test_unknown_names() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean `attention.metric=sq_l2`"):
        distance_attention(*tensors(), metric="sql2")
    with pytest.raises(ConfigError, match=r"Did you mean `attention.backend=sdpa`"):
        distance_attention(*tensors(), metric="dot", backend="spda")


@pytest.mark.parametrize("backend", [each.name for each in BACKENDS if each.name != "triton"])
def test_nan_passes_on_to_those_who_see_it(backend: str) -> None:
    """A token that is NaN, as a diverged hidden state makes it; torch's SDPA hides a NaN query."""
    queries, keys, values = (x.float() for x in tensors())
    queries[0, 0, 3] = keys[0, 0, 3] = float("nan")
    out = distance_attention(
        queries, keys, values, metric=METRIC_OF.get(backend, "l1"), backend=backend
    )
    assert out[0, 0, 4:].isnan().all()
    assert out[0, 0, :3].isfinite().all()
    assert out[1].isfinite().all()
