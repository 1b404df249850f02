"""Seeds: one for a run, and named children of it for everything random inside."""

from __future__ import annotations

import hashlib


def child_seed(seed: int, *path: str | int) -> int:
    """A 63-bit seed made from the run's seed and a path of names and numbers, and nothing else.

    Randomness inside a batch takes ("step", batch, rank), for example: no generator state needs
    saving for a run to go on exactly where it stopped.
    """
    text = "/".join(map(str, (seed, *path)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 1
