"""Seeds: one for a run, and named children of it for everything random inside."""

from __future__ import annotations

import hashlib

import torch


def child_seed(seed: int, *path: str | int) -> int:
    """Return a 63-bit seed made of the run's seed and a path of names and numbers alone.

    Randomness inside a batch takes ("step", batch, rank), for example: no generator state needs
    saving for a run to go on exactly where it stopped.
    """
    text = "/".join(map(str, (seed, *path)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1


def seed_device(seed: int, device: torch.device) -> None:
    """Seeds the generators that a step on `device` draws from.

    `torch.manual_seed` also queues a call, with a formatted traceback, for every kind of device
    that is not in use: a third of a millisecond a step, and a list that grows without end.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
