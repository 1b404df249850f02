"""Windows are functions of their seeds, and held-out ones span their split."""

from __future__ import annotations

import torch

from infinito.rl.environment.shared_parts import SharedParts
from infinito.rl.environment.windows import spread_windows


def test_a_models_windows_depend_on_its_own_seed_alone(shared: SharedParts) -> None:
    together = shared.windows.sample([(0, 1), (0, 2)], steps=3, batch=2)
    assert together.shape == (3, 2, 2, 13)  # (steps, models, batch, block + 1)
    assert torch.equal(together[:, 1:], shared.windows.sample([(0, 2)], steps=3, batch=2))
    assert not torch.equal(together[:, 0], together[:, 1])


def test_spread_windows_reach_from_the_first_to_the_last(shared: SharedParts) -> None:
    blocks = shared.windows.train
    found = spread_windows(blocks, 3)
    assert torch.equal(found[0], blocks[0])
    assert torch.equal(found[-1], blocks[len(blocks) - 1])
    assert len(spread_windows(blocks, len(blocks) + 9)) == len(blocks)
