"""Learned positions: one embedding for each place in the sequence."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from infinito.errors import ConfigError


class LearnedPositions(nn.Embedding):
    """Embeddings (max_positions, dim) that are added to those of the tokens."""

    def __init__(self, max_positions: int, dim: int) -> None:
        super().__init__(max_positions, dim)

    def forward(  # type: ignore[override]
        self, hidden: Tensor, position_ids: Tensor | None, start: int
    ) -> tuple[Tensor, None]:
        """Return the embeddings plus those of their positions, (batch, time, dim), and None.

        Args:
            hidden: embeddings (batch, time, dim).
            position_ids: (batch or 1, time), or None to count from `start`.

        Raises:
            ConfigError: the input is longer than the learned positions.
        """
        if position_ids is not None:
            if not torch.compiler.is_compiling():
                self.check(int(position_ids.max()) + 1)
            return hidden + super().forward(position_ids), None
        end = start + hidden.shape[1]
        self.check(end)
        return hidden + self.weight[start:end], None

    def check(self, time: int) -> None:
        """Raise ConfigError when a sequence of `time` tokens is longer than the positions."""
        if time > self.num_embeddings:
            raise ConfigError(
                f"an input of {time} tokens is longer than the `model.max_positions`="
                f"{self.num_embeddings} learned positions. Shorten it (`data.block_size`, "
                "`generation.max_new_tokens`), train with more positions, or choose "
                "`model.position=rotary`."
            )
