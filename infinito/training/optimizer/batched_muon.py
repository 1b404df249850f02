"""torch's Muon with fewer, larger products: matrices of one shape are orthogonalised together."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Muon

STACKED_NUMBERS = 2**20
"""Most numbers of a stack. Larger ones leave the cache of a core, and are no faster than one matrix
after the other."""


class BatchedMuon(Muon):
    """Muon, whose steps give the numbers that those of `torch.optim.Muon` give, in less time.

    A small model's orthogonalisation is hundreds of tiny products, whose calls cost more than
    their arithmetic. Matrices that are not on a CPU, or are spread over processes, are left to
    torch's own step.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step all matrices that have a gradient; return what `closure` returns."""
        parameters = [each for group in self.param_groups for each in group["params"]]
        if any(each.device.type != "cpu" or isinstance(each, DTensor) for each in parameters):
            return super().step(closure)
        result = None
        if closure is not None:
            with torch.enable_grad():
                result = closure()
        for group in self.param_groups:
            for matrices in stacks([each for each in group["params"] if each.grad is not None]):
                self._step_equal(matrices, group)
        return result

    def _step_equal(self, matrices: Sequence[Tensor], group: dict[str, Any]) -> None:
        """Step matrices of one shape."""
        rate, decay = group["lr"], group["lr"] * group["weight_decay"]
        rows, columns = matrices[0].shape
        updates = orthogonalize(
            torch.stack([self._direction(each, group).bfloat16() for each in matrices]),
            group["ns_coefficients"],
            group["ns_steps"],
            group["eps"],
        )
        for matrix, update in zip(matrices, updates, strict=True):
            if decay:
                matrix.mul_(1 - decay)
            matrix.add_(update, alpha=-rate * math.sqrt(max(1, rows / columns)))

    def _direction(self, matrix: Tensor, group: dict[str, Any]) -> Tensor:
        """Return the gradient with momentum, and count the gradient in the latter."""
        gradient, state = matrix.grad, self.state[matrix]
        assert gradient is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        mean: Tensor = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        return gradient.lerp(mean, group["momentum"]) if group["nesterov"] else mean


def stacks(matrices: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Yield matrices of one shape and dtype together, at most `STACKED_NUMBERS` in all or one."""
    alike: defaultdict[tuple[torch.Size, torch.dtype], list[Tensor]] = defaultdict(list)
    for each in matrices:
        alike[each.shape, each.dtype].append(each)
    for found in alike.values():
        count = max(1, STACKED_NUMBERS // max(1, found[0].numel()))
        for start in range(0, len(found), count):
            yield found[start : start + count]


def orthogonalize(
    stack: Tensor, coefficients: tuple[float, float, float], iterations: int, eps: float
) -> Tensor:
    """Return about U·Vᵀ of each matrix U·S·Vᵀ of a stack (count, rows, columns), which is changed.

    Source: the quintic Newton-Schulz iteration of Jordan et al. 2024, Muon,
    https://kellerjordan.github.io/posts/muon/, as in torch, but without transposing tall matrices:
    the small Gram matrix then stands on the other side.
    """
    a, b, c = coefficients
    is_tall = stack.shape[1] > stack.shape[2]
    norms = torch.stack([each.norm() for each in stack]).clamp(min=eps)
    stack.div_(norms[:, None, None])  # so that no singular value is above 1
    for _ in range(iterations):
        gram = stack.mT @ stack if is_tall else stack @ stack.mT
        factor = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        left, right = (stack, factor) if is_tall else (factor, stack)
        stack = torch.baddbmm(stack, left, right, beta=a)
    return stack
