"""One attention metric, computed by the reference and by each backend that serves it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from infinito.attention import BACKENDS, METRICS, distance_attention, prepare, reference_attention
from infinito.attention.functional import describe

Tensors = Sequence[Tensor]
"""Queries, keys and values."""


class MetricCase:
    """A metric whose subclass names it and works its score out in plain Python."""

    metric: str
    p: float | None = None
    scale = 1.3

    def score(self, query: list[float], key: list[float]) -> float:
        """Return the score without λ, in plain Python."""
        raise NotImplementedError

    def factor(self, dim: int) -> float:
        """Return what the score is multiplied with at λ = 1."""
        raise NotImplementedError

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


def close(got: Tensor, expected: Tensor, tolerance: float, what: str) -> None:
    """Assert that tensors differ by no more than `tolerance` of the largest expected number."""
    largest = max(1.0, expected.abs().max().item())
    error = (got.double() - expected).abs().max().item()
    assert error <= tolerance * largest, f"{what}: {error} above {tolerance} of {largest}"
