"""Child seeds depend on the run's seed and their whole path, and on nothing else."""

from __future__ import annotations

import torch

from infinito.seeding import child_seed, seed_device


def test_a_child_seed_is_the_same_in_every_version() -> None:
    """A run that an older version began draws the same numbers when it goes on."""
    assert child_seed(0, "step", 3, 1) == 1719286345005881671


def test_every_part_of_the_path_counts() -> None:
    paths = [(), ("step",), ("step", 1), ("step", 2), ("step", 1, 0), ("data", 1)]
    seeds = {child_seed(seed, *path) for seed in (0, 1) for path in paths}
    assert len(seeds) == 2 * len(paths)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeding_a_device_is_what_torch_does() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    seed_device(7, torch.device("cpu"))
    assert torch.equal(torch.rand(3), expected)
