"""l1, l2 and lp through `torch.cdist`: exact, anywhere torch runs, with one time × time matrix.

Its gradient is the reference's, ties and zero distances included; not so for linf, where it gives
each feature that ties for the maximum the whole gradient, and so linf is not served here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from infinito.attention.backends.backend import Backend, Request
from infinito.attention.masking import share_groups
from infinito.attention.precision import widen
from infinito.attention.reference import attend_by_scores

_EXPONENTS = {"l1": 1.0, "l2": 2.0, "lp": None}


def _attend(
    queries: Tensor, keys: Tensor, values: Tensor, request: Request, key_padding: Tensor | None
) -> Tensor:
    exponent = request.p if request.kernel == "lp" else _EXPONENTS[request.kernel]
    assert exponent is not None
    with torch.autocast(queries.device.type, enabled=False):
        distances = torch.cdist(
            widen(queries),
            widen(share_groups(keys, request.heads)),
            p=exponent,
            # The other mode takes ‖q‖² + ‖k‖² − 2 q·k, which cancels where q is near k.
            compute_mode="donot_use_mm_for_euclid_dist",
        )
    scores = -request.factor * distances
    return attend_by_scores(scores, values, request.causal, request.dropout_p, key_padding)[0]


def _unable(request: Request) -> str | None:
    return None if request.kernel in _EXPONENTS else f"it has l1, l2 and lp, not {request.kernel}"


def _unwise(request: Request) -> str | None:
    """Faster than blocks, measured on a CPU, as long as its matrices are not much larger than q."""
    longest = request.dim if request.kernel == "lp" else 2 * request.dim
    return f"it is for up to {longest} keys" if request.time_k > longest else None


BACKEND = Backend("cdist", _attend, _unable, _unwise, takes_mask=True)
