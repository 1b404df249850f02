"""Rotary positions: a table of rotations, and their application to queries and keys."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def rotations(positions: Tensor, dim: int, base: float) -> Tensor:
    """Return the cosine and sine of each position's angles, float32 (…, dim/2, 2).

    Args:
        positions: (…), integers counted from 0.
        dim: features of a head; an even number.
        base: the slowest pair turns once in about 2π·base positions.

    Source: Su et al. 2021, RoFormer, eq. 15.
    """
    speeds = base ** -(torch.arange(0, dim, 2, device=positions.device).float() / dim)
    angles = positions[..., None].float() * speeds  # (…, dim/2)
    return torch.stack((angles.cos(), angles.sin()), dim=-1)


def rotate(features: Tensor, rotation: Tensor) -> Tensor:
    """Return features with each pair of neighbours turned by its angle.

    Args:
        features: (batch, time, heads, dim).
        rotation: (batch or 1, time, 1, dim/2, 2) from `rotations`.

    Source: Su et al. 2021, RoFormer, eq. 34.
    """
    pairs = features.unflatten(-1, (-1, 2))  # (batch, time, heads, dim/2, 2)
    if features.dtype == torch.float32 and not torch.compiler.is_compiling():
        # One complex product is the fastest eager form; inductor and half floats have none.
        turned = torch.view_as_complex(pairs) * torch.view_as_complex(rotation)
        return torch.view_as_real(turned).flatten(-2)
    even, odd = pairs.unbind(-1)
    cosine, sine = rotation.unbind(-1)
    turned = torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), dim=-1)
    return turned.flatten(-2).to(features.dtype)


class RotaryPositions(nn.Module):
    """The rotations of the first positions as a table; those of later ones are computed at use."""

    table: Tensor

    def __init__(self, dim: int, max_positions: int, base: float) -> None:
        super().__init__()
        self.dim, self.base, self.max_positions = dim, base, max_positions
        self.register_buffer("table", self.first_rotations(), persistent=False)

    def first_rotations(self) -> Tensor:
        """Return the table, (max_positions, dim/2, 2)."""
        return rotations(torch.arange(self.max_positions), self.dim, self.base)

    def forward(
        self, hidden: Tensor, position_ids: Tensor | None, start: int
    ) -> tuple[Tensor, Tensor]:
        """Return the embeddings unchanged, and the rotations (batch or 1, time, 1, dim/2, 2).

        Args:
            hidden: embeddings (batch, time, model dim).
            position_ids: (batch or 1, time), or None to count from `start`.
        """
        if position_ids is not None:
            return hidden, rotations(position_ids, self.dim, self.base).unsqueeze(-3)
        end = start + hidden.shape[1]
        if end <= self.max_positions:
            rotation = self.table[start:end]
        else:
            positions = torch.arange(start, end, device=hidden.device)
            rotation = rotations(positions, self.dim, self.base)
        return hidden, rotation[None, :, None]
