"""What every attention backend must return for a metric that it serves."""

from __future__ import annotations

import pytest
import torch

from tests.attention.metrics.metric_case import MetricCase, close


class BackendContract(MetricCase):
    """Tests of each backend against the reference."""

    @pytest.mark.parametrize(
        ("dtype", "tolerance"),
        [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.03)],
        ids=["float64", "float32", "bfloat16"],
    )
    @pytest.mark.parametrize("time", [1, 2, 17, 65])
    def test_backends_agree(self, dtype: torch.dtype, tolerance: float, time: int) -> None:
        self.assert_like_float64(self.tensors(time, time, dtype=dtype), tolerance)

    @pytest.mark.parametrize("causal", [True, False])
    def test_backends_agree_with_more_keys_than_queries(self, causal: bool) -> None:
        self.assert_like_float64(self.tensors(5, 12, dtype=torch.float32), 1e-5, causal=causal)

    def test_backends_agree_on_grouped_heads(self) -> None:
        self.assert_like_float64(self.tensors(kv_heads=2, dtype=torch.float32), 1e-5)

    def test_backends_agree_on_strided_views(self) -> None:
        """Heads that are slices of one projection, as models make them."""
        packed = torch.randn(2, 9, 12, 8, generator=torch.Generator().manual_seed(1))
        views = packed.split(4, dim=2)
        tensors = tuple(x.transpose(1, 2).detach().requires_grad_() for x in views)
        assert not tensors[0].is_contiguous()
        self.assert_like_float64(tensors, 1e-5)

    def test_backends_agree_where_queries_equal_keys(self) -> None:
        """At distance 0 norms have a kink; the subgradient there is 0, and never NaN."""
        _, keys, values = self.tensors(dtype=torch.float32)
        queries = keys.detach().clone().requires_grad_()
        self.assert_like_float64((queries, keys, values), 1e-5)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_backends_agree_on_zeros(self, dtype: torch.dtype) -> None:
        zeros = torch.zeros(2, 4, 9, 8, dtype=dtype, requires_grad=True)
        keys = torch.zeros(2, 4, 9, 8, dtype=dtype, requires_grad=True)
        tolerance = 1e-6 if dtype == torch.float32 else 0.01
        self.assert_like_float64((zeros, keys, self.tensors(dtype=dtype)[2]), tolerance)

    @pytest.mark.parametrize("width", [3, 24])
    def test_backends_agree_on_values_of_another_width(self, width: int) -> None:
        queries, keys, _ = self.tensors(dtype=torch.float32)
        values = torch.randn(2, 4, 9, width, generator=torch.Generator().manual_seed(2))
        self.assert_like_float64((queries, keys, values.requires_grad_()), 1e-5)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
    def test_backends_agree_under_autocast(self, dtype: torch.dtype) -> None:
        """Scores are still added up in float32: bfloat16 would be wrong by more than this."""
        tensors = self.tensors(65, 65, dtype=dtype)
        with torch.autocast("cpu", torch.bfloat16):
            self.assert_like_float64(tensors, 0.03)

    def test_backends_return_nothing_for_no_queries(self) -> None:
        queries, keys, values = self.tensors(0, 9, dtype=torch.float32)
        for backend in self.served_by((queries, keys, values)):
            out = self.attend((queries, keys, values), backend=backend)
            assert out.shape == (2, 4, 0, 8), backend

    @pytest.mark.parametrize("scale", [1e-3, 1e4])
    def test_extreme_scales_stay_finite(self, scale: float) -> None:
        tensors = self.tensors(dtype=torch.float32)
        for backend in self.served_by(tensors):
            out = self.attend(tensors, scale=scale, backend=backend)
            for x in (out, *torch.autograd.grad(out.sum(), tensors)):
                assert x.isfinite().all(), backend

    def test_backends_return_nothing_for_an_empty_batch(self) -> None:
        tensors = self.tensors(batch=0)
        for backend in self.served_by(tensors):
            out = self.attend(tensors, backend=backend)
            assert out.shape == (0, 4, 9, 8), backend
            for gradient in torch.autograd.grad(out.sum(), tensors):
                assert gradient.shape == (0, 4, 9, 8), backend

    def test_backends_agree_on_padding(self) -> None:
        padding = torch.ones(2, 9, dtype=torch.bool)
        padding[0, :3] = padding[1, 6:] = False
        self.assert_like_float64(self.tensors(dtype=torch.float32), 1e-5, key_padding=padding)

    def test_a_row_that_sees_nothing_is_zero(self) -> None:
        padding = torch.ones(2, 9, dtype=torch.bool)
        padding[0, :3] = False
        tensors = self.tensors(dtype=torch.float32)
        for backend in self.served_by(tensors, padding):
            out = self.attend(tensors, key_padding=padding, backend=backend)
            assert not out[0, :, :3].any(), backend
            assert out[0, :, 3:].any(), backend
            for gradient in torch.autograd.grad(out.sum(), tensors):
                assert gradient.isfinite().all(), backend

    def test_backends_agree_on_a_free_mask(self) -> None:
        mask = torch.rand(2, 4, 9, 9, generator=torch.Generator().manual_seed(3)) < 0.5
        mask[0, 0, 4] = False
        self.assert_like_float64(self.tensors(dtype=torch.float32), 1e-5, key_padding=mask)

    @pytest.mark.parametrize("changed", range(9))
    def test_the_past_is_bit_equal_whatever_comes(self, changed: int) -> None:
        tensors = self.tensors(dtype=torch.float32)
        others = tuple(x.detach().clone() for x in tensors)
        for x in others:
            x[:, :, changed] += 1.5
        for backend in self.served_by(tensors):
            before, after = (self.attend(x, backend=backend) for x in (tensors, others))
            assert torch.equal(before[:, :, :changed], after[:, :, :changed]), backend
            assert not torch.equal(before[:, :, changed], after[:, :, changed]), backend

    def test_queries_behind_a_cache_see_all_of_it(self) -> None:
        queries, keys, values = self.tensors(dtype=torch.float32)
        for backend in self.served_by((queries, keys, values)):
            whole = self.attend((queries, keys, values), backend=backend)
            for start in (1, 5, 8):
                tail = self.attend((queries[:, :, start:], keys, values), backend=backend)
                close(tail, whole[:, :, start:].double(), 1e-5, backend)
