"""The interface of an attention backend and of a request to it; `registry` lists the backends."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Request(NamedTuple):
    """An attention call without its numbers: everything that decides which backend can serve it.

    `kernel` is the score that remains once a metric is prepared: dot (q·k), l1 (−‖q−k‖₁), l2
    (−‖q−k‖₂), sq_l2 (−‖q−k‖₂²), linf (−‖q−k‖∞) or lp (−‖q−k‖ₚ). `factor`, λ and 1/√dim, multiplies
    it; a learned λ is folded into queries and keys beforehand.
    `grad` says that a gradient will be computed, `free_mask` that a whole mask replaces causality
    and padding, `every_derivative` that torch.func or forward-mode differentiation is at work.
    """

    kernel: str
    p: float | None = None
    device: str = "cpu"
    dtype: torch.dtype = torch.float32
    grad: bool = True
    causal: bool = True
    dropout_p: float = 0.0
    padding: bool = False
    batch: int = 1
    heads: int = 1
    kv_heads: int = 1
    time_q: int = 1
    time_k: int = 1
    dim: int = 64
    value_dim: int = 64
    free_mask: bool = False
    factor: float = 1.0
    every_derivative: bool = False


class Attend(Protocol):
    """Attention over prepared queries and keys.

    A call takes queries (batch, heads, time_q, dim), keys (batch, kv_heads, time_k, dim), values
    (batch, kv_heads, time_k, value_dim), the request that they make, and the key padding: bool
    (batch, time_k), True for a real token, or None. Causal means that query i sees key j when
    j <= i + time_k − time_q. A row that sees no key is 0. It returns (batch, heads, time_q,
    value_dim) in the dtype of the values.
    """

    def __call__(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        request: Request,
        key_padding: Tensor | None,
        /,
    ) -> Tensor: ...


class Backend(NamedTuple):
    """A way to compute attention.

    `unable(request)` gives the reason it cannot serve, or None; `unwise(request)` the reason why
    `backend="auto"` passes it over although it could serve, or None. Both run on every call: keep
    them to a few comparisons. A backend that `takes_mask` also takes, in the place of the key
    padding, a bool mask (batch or 1, heads or 1, time_q, time_k) that says all about who sees
    whom. One that `has_every_derivative` is built of torch operations that differentiate in every
    mode and any number of times.
    """

    name: str
    attend: Attend
    unable: Callable[[Request], str | None]
    unwise: Callable[[Request], str | None] = lambda _: None
    takes_mask: bool = False
    has_every_derivative: bool = False

    def obstacle(self, request: Request) -> str | None:
        """Return why this backend cannot serve a request, or None."""
        if request.free_mask and not self.takes_mask:
            return "it takes causality and padding, not a free mask"
        if request.every_derivative and not self.has_every_derivative:
            return "it has a backward, but no torch.func or forward-mode derivative"
        return self.unable(request)
