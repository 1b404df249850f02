"""AdamW that holds less: no gradients beyond the backward pass, moments of 16 bits."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.adamw import adamw

from infinito.models.log_probs.tied_gradient import Blocks, block_updates

CHUNK = 1 << 15
"""Numbers that are updated together where moments are converted: they stay in a core's cache."""


class LeanAdamW(AdamW):
    """AdamW whose step may run inside the backward pass, and whose moments may be bfloat16.

    Each parameter is updated by torch's fused kernel alone, so with `moments=float32` the weights
    are the same bits as those of `AdamW(fused=True)`, whose state this one reads and writes.

    Args:
        groups: Groups of parameters, as torch takes them.
        in_backward: In `step(closure)`, update each parameter as soon as the closure's backward
            pass has all of its gradient, and free the gradient.
        moments: Type of the running means of the gradient and of its square. In bfloat16 the
            mean of the square is rounded at random: to the nearest number, a change of less
            than a 256th would be lost at every step, and the mean never fall.
        options: Of `AdamW`.

    Source: update in the backward pass as in Lv et al. 2023, LOMO, arXiv:2306.09782, section 3.2.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        in_backward: bool = False,
        moments: torch.dtype = torch.float32,
        **options: Any,
    ) -> None:
        super().__init__(groups, fused=True, **options)
        self.in_backward, self.moments = in_backward, moments
        self.norms: dict[int, Tensor] = {}
        """Norms of the gradients that the latest step took, by the parameter's id."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient; return what `closure` returns."""
        result = None
        self.norms = {}
        if self.in_backward:
            self._make_states()
        if closure is not None:
            handles = list(self._updates()) if self.in_backward else []
            try:
                with torch.enable_grad():
                    result = closure()
            finally:
                for handle in handles:
                    handle.remove()
                block_updates.clear()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return result

    def gradient_norm(self, parameters: Iterable[nn.Parameter]) -> Tensor:
        """Return the common norm of the gradients that the latest step took."""
        found = [self.norms[id(each)] for each in parameters if id(each) in self.norms]
        return torch.linalg.vector_norm(torch.stack(found)) if found else torch.tensor(0.0)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore groups and state; torch gives the moments the type of their parameter."""
        super().load_state_dict(state_dict)
        for state in self.state.values():
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = state[name].to(self.moments)

    def _updates(self) -> Iterable[Any]:
        for group in self.param_groups:

            def update(parameter: Tensor, group: dict[str, Any] = group) -> None:
                if parameter.grad is None:  # taken in blocks
                    return
                self.norms[id(parameter)] = torch.linalg.vector_norm(parameter.grad)
                self._update(parameter, group)
                parameter.grad = None

            for parameter in group["params"]:
                block_updates[id(parameter)] = functools.partial(
                    self._update_blocks, parameter, group
                )
                yield parameter.register_post_accumulate_grad_hook(update)

    def _make_states(self) -> None:
        """Make all moments before the first backward pass.

        Made within it, they would lie between activations and gradients, and what those leave free
        would be pieces that fit nothing: 1.5 GiB with half a billion weights.
        """
        for group in self.param_groups:
            for parameter in group["params"]:
                self._state_of(parameter)

    def _state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = torch.zeros_like(
                    parameter, dtype=self.moments, memory_format=torch.preserve_format
                )
        return state

    @torch.no_grad()
    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self._state_of(parameter)
        assert parameter.grad is not None
        self._apply(state, [parameter, parameter.grad, *_moments(state)], group)

    @torch.no_grad()
    def _update_blocks(self, parameter: Tensor, group: dict[str, Any], blocks: Blocks) -> None:
        """Update rows as their gradient arrives: one step for all of them."""
        state, norms = self._state_of(parameter), []
        before = state["step"].clone()
        for rows, gradient in blocks:
            norms.append(torch.linalg.vector_norm(gradient))
            state["step"].copy_(before)
            mean, square = _moments(state)
            tensors = [parameter[rows], gradient, mean[rows], square[rows]]
            self._apply(state, tensors, group, rows.start * parameter[0].numel())
        self.norms[id(parameter)] = torch.linalg.vector_norm(torch.stack(norms))

    def _apply(
        self, state: dict[str, Tensor], tensors: list[Tensor], group: dict[str, Any], first: int = 0
    ) -> None:
        """Update (weight, gradient, mean, mean of squares), and count the step.

        Args:
            state: That of the whole parameter.
            tensors: All of it, or some rows.
            group: The parameter's group.
            first: Where in the parameter they begin.
        """
        if self.moments == tensors[0].dtype:
            _run(tensors, state["step"], group)
            return
        noise = _draw_noise(int(state["step"]), tensors[0].device)
        flat = [each.detach().reshape(-1) for each in tensors]
        before = state["step"].clone()
        for start in range(0, tensors[0].numel(), CHUNK):
            chunk = slice(start, start + CHUNK)
            weight, gradient, mean, square = (each[chunk] for each in flat)
            wide = [mean.float(), square.float()]
            state["step"].copy_(before)
            _run([weight, gradient, *wide], state["step"], group)
            mean.copy_(wide[0])
            bits = wide[1].view(torch.int32)
            shift = (first + start) % CHUNK
            bits.add_(noise[shift : shift + len(bits)]).bitwise_and_(-(1 << 16))
            square.copy_(wide[1])


def _moments(state: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    return state["exp_avg"], state["exp_avg_sq"]


def _run(tensors: list[Tensor], step: Tensor, group: dict[str, Any]) -> None:
    """Run torch's fused kernel."""
    weight, gradient, mean, square = tensors
    beta1, beta2 = group["betas"]
    adamw(
        [weight],
        [gradient],
        [mean],
        [square],
        [],
        [step],
        foreach=False,
        fused=True,
        amsgrad=False,
        beta1=beta1,
        beta2=beta2,
        lr=group["lr"],
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        maximize=False,
    )


@functools.lru_cache(maxsize=1)
def _draw_noise(step: int, device: torch.device) -> Tensor:
    """Return what is added to the lower 16 bits before they are cut: one of 2^16, all as likely.

    It comes twice, so that a chunk may begin anywhere in it. It depends on the step alone, so that
    a resumed training draws the same.
    """
    generator = torch.Generator(device).manual_seed(step)
    noise = torch.randint(1 << 16, (CHUNK,), generator=generator, dtype=torch.int32, device=device)
    return noise.repeat(2)
