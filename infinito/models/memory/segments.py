"""Cuts a text into segments, which the integration memory reads and writes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from infinito.objectives.phi import phi_components


class Segments(NamedTuple):
    """The segments of each text of a batch, all of one length."""

    states: Tensor
    """Hidden states (batch, count, segment, dim)."""
    whole: Tensor
    """Whether a segment holds real tokens only, bool (batch, count)."""
    components: Tensor
    """Components of Φ, (batch, count, 4), without gradient."""
    position: Tensor
    """How many segments precede the one that each new token is in, (batch, time)."""


@torch.no_grad()
def locate_segments(
    length: int, real: Tensor | None, segment: int, device: torch.device
) -> tuple[Tensor, ...]:
    """Return which tokens belong to which segment.

    Args:
        length: Tokens so far, padding included.
        real: (batch, length), nonzero for a real token; None where all are. Real tokens are
            contiguous: padding is on the left or on the right.

    Returns:
        Positions of the tokens of each segment, (batch or 1, count, segment); whether each segment
        is whole, bool (batch or 1, count); the segment of each token, (batch or 1, length).
    """
    count = length // segment
    places = torch.arange(length, device=device)
    offsets = torch.arange(count * segment, device=device).view(1, count, segment)
    if real is None:
        whole = torch.ones(1, count, dtype=torch.bool, device=device)
        return offsets, whole, (places // segment)[None]
    first = real.bool().int().argmax(1)  # (batch,)
    tokens = real.bool().sum(1)  # (batch,)
    inside = first[:, None, None] + offsets  # (batch, count, segment)
    whole = offsets[..., -1] < tokens[:, None]  # (batch, count)
    own = ((places - first[:, None]).clamp_min(0) // segment).clamp_max(count)
    return inside.clamp_max(max(length - 1, 0)), whole, own


def cut_segments(
    history: Tensor, breadth: Tensor, real: Tensor | None, new: int, segment: int
) -> Segments:
    """Return the segments of each text, with their components of Φ.

    Args:
        history: Hidden states of all tokens so far, (batch, length, dim).
        breadth: Normalised entropy of each token's attention, (batch, length). Only the last token
            of each segment matters.
        real: (batch, length), nonzero for a real token, or None.
        new: How many of the last tokens are new.

    Raises:
        ConfigError: segments shorter than Φ needs.
        NonFiniteError: a state is not finite.
    """
    batch, length, _ = history.shape
    inside, whole, own = locate_segments(length, real, segment, history.device)
    count = inside.shape[1]
    states = history[:, : count * segment]
    if real is not None:
        states = history.take_along_dim(inside.flatten(1)[..., None], dim=1)
    states = states.unflatten(1, (count, segment))  # (batch, count, segment, dim)
    ends = breadth.take_along_dim(inside[..., -1].expand(batch, -1), dim=1)  # (batch, count)
    components = history.new_zeros(batch, count, 4, dtype=torch.float32)
    if count:
        with torch.no_grad():
            parts = phi_components(states.detach().flatten(0, 1), ends.flatten()[:, None])
            components = torch.stack(parts, dim=-1).view(batch, count, 4).float()
    position = own[:, length - new :].expand(batch, -1)  # (batch, new)
    return Segments(states, whole.expand(batch, -1), components, position)
