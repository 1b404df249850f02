"""Distances between all queries and keys by `torch.cdist`, in the mode that does not cancel."""

from __future__ import annotations

import torch
from torch import Tensor

from infinito.attention.derivatives import differentiable_once


def exact_distances(queries: Tensor, keys: Tensor, p: float) -> Tensor:
    """Return ‖q − k‖ₚ (…, time_q, time_k), float32 at least, also inside autocast.

    Its gradient is the reference's, ties and zero distances included, but for p = ∞, where each
    feature that ties for the maximum gets the whole gradient.

    Raises:
        ConfigError: in a backward through its gradient, which torch does not have.
    """
    wide = torch.promote_types(queries.dtype, torch.float32)
    queries, keys = differentiable_once(queries, keys)
    with torch.autocast(queries.device.type, enabled=False):
        return torch.cdist(
            queries.to(wide),
            keys.to(wide),
            p=p,
            # The other mode takes ‖q‖² + ‖k‖² − 2 q·k, which cancels where q is near k.
            compute_mode="donot_use_mm_for_euclid_dist",
        )
