"""The mask of visible keys, and key/value heads shared by groups of query heads."""

from __future__ import annotations

import torch
from torch import Tensor


def visible_keys(
    time_q: int,
    time_k: int,
    *,
    causal: bool,
    key_padding: Tensor | None,
    device: torch.device | str,
) -> Tensor | None:
    """Return a bool mask that is True where a query sees a key, or None when all see all.

    Causal is aligned bottom-right: the last query is the last key's own, so that queries behind a
    cache see all of it (`is_causal` of torch's SDPA is aligned top-left).

    Args:
        key_padding: bool (batch, time_k), True for a real token; or a free mask, returned as it
            came.

    Returns:
        (time_q, time_k), or (batch, 1, time_q or 1, time_k) with padding.
    """
    if key_padding is not None and key_padding.ndim == 4:
        return key_padding
    mask = None
    if causal and time_q > 1:
        mask = torch.ones(time_q, time_k, dtype=torch.bool, device=device)
        mask = mask.tril(time_k - time_q)  # (time_q, time_k)
    if key_padding is not None:
        padding = key_padding[:, None, None, :]  # (batch, 1, 1, time_k)
        mask = padding if mask is None else mask & padding
    return mask


def share_groups(keys: Tensor, heads: int) -> Tensor:
    """Return (batch, heads, time, dim) of (batch, kv_heads, time, dim), repeated for each group."""
    kv_heads = keys.shape[1]
    return keys if kv_heads == heads else keys.repeat_interleave(heads // kv_heads, dim=1)
