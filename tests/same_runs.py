"""Whether two runs left the same: whole checkpoints and summaries, clocks left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch

from infinito.models.checkpoint_file import read_checkpoint

CLOCKS = {"elapsed_s", "training_s", "window_s", "tokens_per_s"}
"""All that may differ between the checkpoints of equal runs."""


def differing(one: Any, other: Any, place: str = "") -> Iterator[str]:
    """Yield the places where two values differ, clocks left out."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {*one, *other} - CLOCKS:
            yield from differing(one.get(key), other.get(key), f"{place}/{key}")
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        for number, (first, second) in enumerate(zip_longest(one, other)):
            yield from differing(first, second, f"{place}/{number}")
    elif isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        if one.dtype != other.dtype or not torch.equal(one, other):
            yield place
    elif one != other and not (one != one and other != other):  # two NaN are equal here
        yield f"{place}: {one} and {other}"


def assert_same_checkpoints(one: Path, other: Path) -> None:
    """Compare the last and the best checkpoints of two run folders."""
    for name in ("last", "best"):
        first, second = (
            read_checkpoint(each / f"checkpoints/{name}.ckpt") for each in (one, other)
        )
        differences = list(differing(first, second))
        assert differences == []


def assert_same_summary(one: Path, other: Path) -> None:
    """Compare what the summaries of two run folders say, but for their places."""
    first, second = (
        json.loads((folder / "summary.json").read_text()) | {"run": None} for folder in (one, other)
    )
    differences = list(differing(first, second))
    assert differences == []
