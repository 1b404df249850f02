"""What every attention metric must do, on each backend that serves it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from infinito.attention import METRICS, reference_attention
from infinito.errors import ConfigError
from tests.attention.metrics.backend_contract import BackendContract
from tests.attention.metrics.metric_case import close


class MetricContract(BackendContract):
    """Tests of one metric; a subclass names it and works its score out in plain Python."""

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
