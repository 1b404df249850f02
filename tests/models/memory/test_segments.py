"""Segments of padded texts."""

from __future__ import annotations

import torch

from infinito.models.memory.segments import locate_segments


def test_segments_skip_padding() -> None:
    """Rows of 5 tokens, segments of 2: padded by one on the left, by two on the right, not."""
    real = torch.tensor([[0, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    inside, whole, own = locate_segments(5, real, 2, real.device)
    assert inside[:, :, 0].tolist() == [[1, 3], [0, 2], [0, 2]]
    assert whole.tolist() == [[True, True], [True, False], [True, True]]
    assert own.tolist() == [[0, 0, 0, 1, 1], [0, 0, 1, 1, 2], [0, 0, 1, 1, 2]]
