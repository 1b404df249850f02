"""Ranks the entries of a memory, and weighs the highest of them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infinito.attention.reference import weigh

IRRATIONAL = (19 * 2**0.5, 23 * 3**0.5, 29 * 5**0.5, 31 * 7**0.5)
"""Factors whose whole multiples are spread evenly modulo 1, one for each component of Φ."""


def hash_components(components: Tensor) -> Tensor:
    """Return a priority in [0.35, 0.85] that is unrelated to Φ but fixed for an entry, (…).

    Random numbers would need a generator's state, and would change when text is appended. Rounding
    to steps of 1/256 hides the small differences that a cache or another batch makes.

    Args:
        components: (…, 4).
    """
    steps = (components.double() * 256).round()
    digits = steps @ steps.new_tensor(IRRATIONAL)  # (…)
    return (0.35 + 0.5 * (digits - digits.floor())).float()


def weigh_highest(scores: Tensor, readable: Tensor, top_k: int) -> Tensor:
    """Return the softmax over the `top_k` highest readable scores and 0 for others, (…, entries).

    Args:
        scores: (…, entries), float32.
        readable: bool (…, entries); a row without any gets weight 0 everywhere.
    """
    count = min(top_k, scores.shape[-1])
    masked = scores.masked_fill(~readable, -math.inf)
    top = masked.topk(count, dim=-1).indices  # (…, top_k)
    # A row with fewer readable entries than top_k has others among its top.
    picked = torch.zeros_like(readable).scatter(-1, top, True) & readable
    return weigh(scores, picked)


def rank(priority: Tensor, alive: Tensor) -> Tensor:
    """Return the rank of each entry, 0 for the highest priority; empty ones come last, (…)."""
    order = priority.masked_fill(~alive, -math.inf).argsort(dim=-1, descending=True, stable=True)
    # The inverse of a permutation is its argsort.
    return order.argsort(dim=-1)
