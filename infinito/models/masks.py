"""Which keys queries see and where tokens stand, from the masks and caches of transformers."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import Cache
from transformers.masking_utils import find_packed_sequence_indices


def visibility(
    attention_mask: Tensor | None,
    position_ids: Tensor | None,
    past_key_values: Cache | None,
    batch: int,
    time: int,
    device: torch.device,
) -> Tensor | None:
    """Return the mask needed beyond plain causal attention aligned bottom-right, or None.

    Args:
        attention_mask: (batch, time_k), nonzero for a real token; or a whole mask (batch, 1 or
            heads, time, time_k), bool or added to the scores.
        position_ids: (batch or 1, time); where they start anew, without a cache, rows are packed.
        past_key_values: the cache of the tokens before these `time`.

    Returns:
        A padding (batch, time_k) or a free mask of four axes, as `distance_attention` takes them.
    """
    if attention_mask is not None and attention_mask.ndim == 4:
        return whole_mask(attention_mask)
    if past_key_values is not None and past_key_values.is_compileable:
        return static_visibility(attention_mask, past_key_values, batch, time, device)
    if attention_mask is not None:
        padding = attention_mask.bool()
        if not torch.compiler.is_compiling() and padding.all():
            return None
        return padding
    if position_ids is not None and past_key_values is None:
        return packed_visibility(position_ids, batch)
    return None


def whole_mask(mask: Tensor) -> Tensor:
    """Return a mask of four axes as bool; one that is added to scores hides where it is −∞."""
    return mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2


def static_visibility(
    attention_mask: Tensor | None,
    past_key_values: Cache,
    batch: int,
    time: int,
    device: torch.device,
) -> Tensor:
    """Return which keys of a cache of fixed length are filled, and visible to each token."""
    seen = past_key_values.get_seq_length()
    length, _ = past_key_values.get_mask_sizes(time, 0)
    keys = torch.arange(length, device=device)
    last = torch.arange(time, device=device) + seen
    visible = (keys <= last[:, None]).expand(batch, 1, time, length)  # (batch, 1, time, time_k)
    if attention_mask is not None:
        padding = attention_mask.bool()
        missing = length - padding.shape[-1]
        padding = torch.nn.functional.pad(padding, (0, missing), value=False)
        visible = visible & padding[:, None, None, :]
    return visible[:, 0, 0] if time == 1 else visible


def packed_visibility(position_ids: Tensor, batch: int) -> Tensor | None:
    """Return a mask that separates sequences packed into one row, or None without any."""
    sequences = find_packed_sequence_indices(position_ids)
    if sequences is None:
        return None
    same = sequences[:, None, :, None] == sequences[:, None, None, :]  # (batch, 1, time, time)
    return same.tril().expand(batch, 1, -1, -1)


def default_positions(
    padding: Tensor | None, start: int | Tensor, time: int, device: torch.device
) -> Tensor | None:
    """Return position ids (batch or 1, time) that skip padding; None where they count from `start`.

    Args:
        padding: (batch, time_k at least start + time), nonzero for a real token; None without any.
        start: tokens in the cache; a tensor for one that is allocated to its full length.
    """
    if padding is None and not isinstance(start, Tensor):
        return None
    places = torch.arange(time, device=device) + start
    if padding is None:
        return places[None]
    return (padding.long().cumsum(-1) - 1).clamp(min=0)[:, places]
