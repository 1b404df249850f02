"""The table of attention metrics by name, one module each, and the check of a metric's name."""

from __future__ import annotations

import difflib
from typing import Protocol

from torch import Tensor

from infinito.attention.metrics import cosine, dot, l1, l2, linf, lp, sq_l2
from infinito.errors import ConfigError


class Metric(Protocol):
    """The interface of a metric's module; `score` is the slow, obvious reference, float32 at least.

    `KERNEL` names the metric whose score a backend computes, in most cases the metric itself.
    """

    KERNEL: str

    def score(self, queries: Tensor, keys: Tensor, p: float | None = None, /) -> Tensor: ...

    def factor(self, scale: float | Tensor, dim: int, /) -> float | Tensor: ...


class Kernel(Metric, Protocol):
    """A metric that backends compute; `fold` hides a factor of the score in queries and keys."""

    def fold(
        self, queries: Tensor, keys: Tensor, by: float | Tensor, /
    ) -> tuple[Tensor, Tensor]: ...


KERNELS: dict[str, Kernel] = {
    "dot": dot,
    "l1": l1,
    "l2": l2,
    "sq_l2": sq_l2,
    "linf": linf,
    "lp": lp,
}
METRICS: dict[str, Metric] = {**KERNELS, "cosine": cosine}


def metric_faults(metric: str, p: float | None) -> list[str]:
    """Return the faults of a metric's name and its exponent, one sentence each."""
    if metric not in METRICS:
        near = difflib.get_close_matches(str(metric), METRICS, n=1)
        hint = f" Did you mean `attention.metric={near[0]}`?" if near else ""
        return [f"`attention.metric`={metric!r} is not one of {', '.join(METRICS)}.{hint}"]
    if metric == "lp" and (p is None or not 1 <= p < float("inf")):
        return [
            f"`attention.p`={p} with `attention.metric=lp`: expected a finite number of at least "
            "1, e.g. `attention.p=3` (for the maximum take `attention.metric=linf`)."
        ]
    return []


def find_metric(metric: str, p: float | None = None) -> Metric:
    """Return the metric's module.

    Raises:
        ConfigError: the metric is unknown, or lp has no p of at least 1.
    """
    if faults := metric_faults(metric, p):
        raise ConfigError(faults)
    return METRICS[metric]
