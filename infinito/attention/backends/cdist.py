"""l1, l2 and lp through `torch.cdist`: exact, anywhere torch runs, with one time × time matrix.

linf is not served: see `exact_distances` for its gradient.
"""

from __future__ import annotations

from torch import Tensor

from infinito.attention.backends.backend import Backend, Request
from infinito.attention.exact_distances import exact_distances
from infinito.attention.masking import share_groups
from infinito.attention.metrics.lp import PLAIN_EXPONENT
from infinito.attention.reference import attend_by_scores

_EXPONENTS = {"l1": 1.0, "l2": 2.0, "lp": None}


def _attend(
    queries: Tensor, keys: Tensor, values: Tensor, request: Request, key_padding: Tensor | None
) -> Tensor:
    exponent = request.p if request.kernel == "lp" else _EXPONENTS[request.kernel]
    assert exponent is not None
    distances = exact_distances(queries, share_groups(keys, request.heads), exponent)
    scores = -request.factor * distances
    return attend_by_scores(scores, values, request.causal, request.dropout_p, key_padding)[0]


def _unable(request: Request) -> str | None:
    if request.kernel not in _EXPONENTS:
        return f"it has l1, l2 and lp, not {request.kernel}"
    if request.kernel == "lp" and request.p > PLAIN_EXPONENT:  # type: ignore[operator]
        return f"its powers leave the range of floats above p={PLAIN_EXPONENT:g}"
    return None


def _unwise(request: Request) -> str | None:
    """Faster than blocks, measured on a CPU, as long as its matrices are not much larger than q."""
    longest = request.dim if request.kernel == "lp" else 2 * request.dim
    return f"it is for up to {longest} keys" if request.time_k > longest else None


BACKEND = Backend("cdist", _attend, _unable, _unwise, takes_mask=True)
