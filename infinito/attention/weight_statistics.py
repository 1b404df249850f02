"""Four numbers that say how spread out the attention weights of a layer are."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def attention_statistics(weights: Tensor, visible: Tensor | None = None) -> dict[str, float]:
    """Return means over the rows (queries) of one layer's attention weights.

    Args:
        weights: (batch, heads, time_q, time_k), each row summing to 1.
        visible: bool, broadcastable to weights, True where a query sees a key; None for causal
            attention aligned bottom-right.

    Returns:
        entropy_nats: of a row's weights, 0 (one key) to log(visible keys).
        entropy: the same over log(visible keys), in [0, 1]; of the rows that see 2 keys at least,
            NaN if there are none.
        mean: weight of a visible key, which is 1 over their number.
        max: the largest weight of a row.
    """
    time_q, time_k = weights.shape[-2:]
    if visible is None:
        visible = torch.ones(time_q, time_k, dtype=torch.bool, device=weights.device)
        visible = visible.tril(time_k - time_q)
    weights = weights.float() * visible
    keys = visible.expand(weights.shape).sum(-1)
    seeing, several = keys > 0, keys > 1
    entropy = torch.special.entr(weights).sum(-1)
    return {
        "entropy_nats": entropy[seeing].mean().item(),
        "entropy": (entropy[several] / keys[several].log()).mean().item(),
        "mean": (weights.sum(-1)[seeing] / keys[seeing]).mean().item(),
        "max": weights.amax(-1)[seeing].mean().item(),
    }
