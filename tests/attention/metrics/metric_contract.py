"""What every attention metric must do, on each backend that serves it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from infinito.attention import (
    BACKENDS,
    METRICS,
    distance_attention,
    prepare,
    reference_attention,
)
from infinito.attention.functional import describe
from infinito.errors import ConfigError

Tensors = Sequence[Tensor]
"""Queries, keys and values."""


class MetricContract:
    """Tests of one metric; a subclass names it and works its score out in plain Python."""

    metric: str
    p: float | None = None
    scale = 1.3

    def score(self, query: list[float], key: list[float]) -> float:
        """Return the score without λ, in plain Python."""
        raise NotImplementedError

    def factor(self, dim: int) -> float:
        """Return what the score is multiplied with at λ = 1."""
        raise NotImplementedError

    # -- helpers

    def tensors(
        self,
        time_q: int = 9,
        time_k: int = 9,
        heads: int = 4,
        kv_heads: int = 4,
        dtype: torch.dtype = torch.float64,
        offset: float = 0.0,
        batch: int = 2,
    ) -> tuple[Tensor, Tensor, Tensor]:
        generator = torch.Generator().manual_seed(time_q * 31 + time_k)

        def draw(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64)

        queries = draw(batch, heads, time_q, 8) + offset
        keys = draw(batch, kv_heads, time_k, 8) + offset
        values = draw(batch, kv_heads, time_k, 8)
        queries, keys, values = (x.to(dtype).requires_grad_() for x in (queries, keys, values))
        return queries, keys, values

    def reference(self, tensors: Tensors, **how: Any) -> Tensor:
        return reference_attention(
            *tensors, metric=self.metric, p=self.p, **{"scale": self.scale, **how}
        )[0]

    def attend(self, tensors: Tensors, **how: Any) -> Tensor:
        return distance_attention(
            *tensors, metric=self.metric, p=self.p, **{"scale": self.scale, **how}
        )

    def served_by(
        self, tensors: Tensors, mask: Tensor | None = None, dropout: float = 0
    ) -> list[str]:
        queries, keys, values = tensors
        queries, keys, values, factor = prepare(
            queries, keys, values, self.metric, self.scale, self.p
        )
        kernel = METRICS[self.metric].KERNEL
        request = describe(queries, keys, values, kernel, factor, self.p, True, dropout, mask)
        names = [backend.name for backend in BACKENDS if backend.obstacle(request) is None]
        assert "reference" in names
        return names

    def assert_like_float64(self, tensors: Tensors, tolerance: float, **how: Any) -> None:
        """Compare every backend's output and gradients with the reference's in float64."""
        exact = tuple(x.detach().double().requires_grad_() for x in tensors)
        expected = self.reference(exact, **how)
        upstream = torch.linspace(-1, 1, expected.numel(), dtype=torch.float64).view_as(expected)
        expected_gradients = torch.autograd.grad(expected, exact, upstream)
        for backend in self.served_by(tensors, how.get("key_padding")):
            out = self.attend(tensors, backend=backend, **how)
            if not torch.is_autocast_enabled("cpu"):
                assert out.dtype == tensors[2].dtype
            gradients = torch.autograd.grad(out, tensors, upstream.to(out.dtype))
            close(out, expected, tolerance, backend)
            for name, got, wanted in zip("qkv", gradients, expected_gradients, strict=True):
                close(got, wanted, 5 * tolerance, f"{backend}, gradient of {name}")

    # -- the definition

    def test_score_is_its_definition(self) -> None:
        queries, keys, _ = self.tensors(3, 5)
        scores = METRICS[self.metric].score(queries, keys, self.p)
        for i in range(3):
            for j in range(5):
                by_hand = self.score(queries[1, 2, i].tolist(), keys[1, 2, j].tolist())
                assert scores[1, 2, i, j].item() == pytest.approx(by_hand, rel=1e-12)
        assert METRICS[self.metric].factor(2.0, 16) == pytest.approx(2 * self.factor(16))

    def test_score_is_float32_inside_autocast(self) -> None:
        queries, keys, _ = self.tensors(3, 5, dtype=torch.float32)
        outside = METRICS[self.metric].score(queries, keys, self.p)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(METRICS[self.metric].score(queries, keys, self.p), outside)

    def test_weights_are_a_causal_distribution(self) -> None:
        tensors = self.tensors()
        out, weights = reference_attention(*tensors, metric=self.metric, p=self.p)
        torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 9, dtype=torch.float64))
        assert not weights.triu(1).any()
        torch.testing.assert_close(out, weights @ tensors[2])
        torch.testing.assert_close(out[:, :, 0], tensors[2][:, :, 0])

    # -- every backend against the reference

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

    # -- derivatives beyond a backward

    @pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
    def test_functional_derivatives_are_those_of_the_reference(self) -> None:
        """torch.func.grad and forward mode, with the backend that "auto" finds for them."""
        queries, keys, values = (x.detach() for x in self.tensors(dtype=torch.float32))

        def total(attend: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
            return lambda changed: attend((changed, keys, values)).square().sum()

        expected = torch.func.grad(total(self.reference))(queries)
        close(torch.func.grad(total(self.attend))(queries), expected.double(), 1e-5, "grad")
        forward = torch.func.jvp(total(self.attend), (queries,), (keys,))[1]
        wanted = torch.func.jvp(total(self.reference), (queries,), (keys,))[1]
        assert forward.item() == pytest.approx(wanted.item(), rel=1e-4)

    def test_a_backend_says_what_to_use_for_other_derivatives(self) -> None:
        """`torch.func.grad` and a gradient of a gradient work, or name the backend that does it."""
        tensors = self.tensors(dtype=torch.float32)
        for backend in self.served_by(tensors):

            def total(queries: Tensor, backend: str = backend) -> Tensor:
                return self.attend((queries, *tensors[1:]), backend=backend).square().sum()

            queries = tensors[0].detach()
            slope = torch.autograd.grad(total(tensors[0]), tensors[0], create_graph=True)[0]
            if backend == "reference":
                assert torch.func.hessian(total)(queries).isfinite().all()
                assert torch.autograd.grad(slope.sum(), tensors[0])[0].isfinite().all()
                continue
            with pytest.raises(ConfigError, match=r"Choose `attention\.backend=auto`"):
                torch.func.grad(total)(queries)
            if backend == "chunked" and self.metric in ("dot", "cosine", "linf", "lp"):
                continue  # plain torch operations, which have second derivatives
            with pytest.raises(ConfigError, match=r"Use `attention\.backend=reference`"):
                torch.autograd.grad(slope.sum(), tensors[0])

    # -- who sees whom

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

    # -- gradients and λ

    def test_gradcheck(self) -> None:
        tensors = self.tensors(2, 3, heads=2, kv_heads=1, batch=1)
        scale = torch.tensor([0.7, 1.5], dtype=torch.float64, requires_grad=True)

        def attend(q: Tensor, k: Tensor, v: Tensor, by: Tensor) -> Tensor:
            return self.attend((q, k, v), scale=by)

        def slow(q: Tensor, k: Tensor, v: Tensor, by: Tensor) -> Tensor:
            return self.reference((q, k, v), scale=by)

        assert torch.autograd.gradcheck(slow, (*tensors, scale))
        assert torch.autograd.gradcheck(attend, (*tensors, scale))

    def test_a_scale_may_be_a_number_or_a_tensor(self) -> None:
        tensors = self.tensors(kv_heads=2)
        one = torch.tensor([1.3], dtype=torch.float64)
        each = torch.full((4,), 1.3, dtype=torch.float64)
        expected = self.attend(tensors, scale=1.3)
        torch.testing.assert_close(self.attend(tensors, scale=one), expected)
        torch.testing.assert_close(self.attend(tensors, scale=each), expected)

    def test_a_tensor_scale_costs_bfloat16_no_digits(self) -> None:
        """Folded into bfloat16 queries and keys, λ would be rounded with each product."""
        tensors = self.tensors(17, 17, dtype=torch.bfloat16)
        exact = self.reference(tuple(x.detach().double() for x in tensors), scale=1.37)
        for backend in self.served_by(tensors):
            numbers = (1.37, torch.tensor([1.37]))
            number, tensor = (self.attend(tensors, scale=x, backend=backend) for x in numbers)
            assert tensor.dtype == torch.bfloat16
            errors = [(out.double() - exact).abs().max().item() for out in (number, tensor)]
            assert errors[1] <= 1.5 * errors[0], backend

    @pytest.mark.parametrize("scale", [0, -1.0, float("nan"), float("inf")])
    def test_a_scale_that_is_not_positive_and_finite_is_refused(self, scale: float) -> None:
        tensors = self.tensors(dtype=torch.float32)
        each = torch.tensor([1.0, 1.0, scale, 1.0])
        for attend in (self.attend, self.reference):
            for wrong in (scale, torch.tensor([float(scale)]), each):
                with pytest.raises(ValueError, match=r"scale=.*λ must be finite and above 0"):
                    attend(tensors, scale=wrong)

    @pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
    def test_numbers_that_are_not_floating_point_are_refused(self, dtype: torch.dtype) -> None:
        for attend in (self.attend, self.reference):
            for place in range(3):
                tensors = [x.detach() for x in self.tensors(dtype=torch.float32)]
                tensors[place] = tensors[place].to(dtype)
                with pytest.raises(TypeError, match=r"expected torch\.float32, float64, bfloat16"):
                    attend(tuple(tensors))

    def test_a_larger_scale_is_sharper(self) -> None:
        tensors = self.tensors()
        sharpest = [
            reference_attention(*tensors, metric=self.metric, p=self.p, scale=scale)[1].amax(-1)
            for scale in (0.1, 1.0, 10.0)
        ]
        assert (sharpest[0][..., 1:] < sharpest[1][..., 1:]).all()
        assert (sharpest[1][..., 1:] < sharpest[2][..., 1:]).all()

    def test_dropout_keeps_the_mean(self) -> None:
        tensors = self.tensors(dtype=torch.float32)
        expected = self.attend(tensors).detach()
        for backend in self.served_by(tensors, dropout=0.3):
            torch.manual_seed(0)
            draws = [self.attend(tensors, dropout_p=0.3, backend=backend) for _ in range(150)]
            mean = torch.stack(draws).mean(0)
            assert not torch.equal(draws[0], draws[1]), backend
            assert (mean - expected).abs().mean() < 0.08, backend


class DistanceContract(MetricContract):
    """What every distance must do besides."""

    outlier = 100.0

    @pytest.mark.parametrize("offset", [0.0, 100.0])
    @pytest.mark.parametrize("place", [0, 1], ids=["query", "key"])
    def test_an_outlying_first_query_or_key_costs_no_accuracy(
        self, offset: float, place: int
    ) -> None:
        """Backends that centre must not centre the others on what is far from them."""
        tensors = self.tensors(33, 33, dtype=torch.float32, offset=offset)
        with torch.no_grad():
            tensors[place][:, :, 0] += self.outlier
        self.assert_like_float64(tensors, 2e-5)

    def test_a_shared_offset_changes_nothing(self) -> None:
        """Distances do not see it; rounding must not either, as far as the inputs hold digits."""
        tensors = self.tensors(33, 33, dtype=torch.float32, offset=100.0)
        self.assert_like_float64(tensors, 1e-4)


def close(got: Tensor, expected: Tensor, tolerance: float, what: str) -> None:
    """Assert that tensors differ by no more than `tolerance` of the largest expected number."""
    largest = max(1.0, expected.abs().max().item())
    error = (got.double() - expected).abs().max().item()
    assert error <= tolerance * largest, f"{what}: {error} above {tolerance} of {largest}"
