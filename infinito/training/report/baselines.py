"""What a validation split costs without a network: by chance, and by counts of pairs of tokens."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from infinito.data.datamodule import LanguageDataModule
from infinito.objectives.units import TextUnits, loss_report

TRAINING_TOKENS = 5_000_000
VALIDATION_TOKENS = 1_000_000
"""Tokens from the start of a split that are counted at most."""


def measure_baselines(data: LanguageDataModule, units: TextUnits) -> dict[str, dict[str, float]]:
    """Return the validation loss of a bigram model and of no knowledge, each in all units.

    Under "tokens" stands how many were counted of either split.
    """
    train = data.ids("train", TRAINING_TOKENS)
    valid = data.ids("valid", VALIDATION_TOKENS)
    losses = {
        "bigram": bigram_loss(train, valid, data.vocab_size),
        "untrained": math.log(data.vocab_size),
    }
    reports = {name: loss_report(nats, units, "val") for name, nats in losses.items()}
    return {**reports, "tokens": {"train": len(train), "valid": len(valid)}}


def bigram_loss(
    train: npt.NDArray[np.integer[Any]], valid: npt.NDArray[np.integer[Any]], vocab_size: int
) -> float:
    """Return the mean negative log-likelihood of a text under a bigram model, nats per token.

    Args:
        train: token ids that are counted (tokens,), at least one.
        valid: token ids that are predicted, each but the first from the one before, at least two.
        vocab_size: number of token ids.

    Source: Witten & Bell 1991, method C: after a token with c occurrences and t kinds of
    successors, a successor seen n times has (n + t · q) / (c + t), with q its share of all tokens,
    each counted once more than it occurs.
    """
    unigram = (np.bincount(train, minlength=vocab_size) + 1) / (len(train) + vocab_size)
    pairs, counts = np.unique(_pair_codes(train, vocab_size), return_counts=True)
    kinds = np.bincount(pairs // vocab_size, minlength=vocab_size)
    seen = np.bincount(train[:-1], minlength=vocab_size)
    codes = _pair_codes(valid, vocab_size)
    place = np.searchsorted(pairs, codes).clip(max=max(0, len(pairs) - 1))
    known = pairs[place] == codes if len(pairs) else np.zeros(len(codes), bool)
    count = np.where(known, counts[place], 0) if len(pairs) else np.zeros(len(codes))
    before, after = valid[:-1], valid[1:]
    new = seen[before] == 0  # a token without a successor says nothing
    share = (count + kinds[before] * unigram[after]) / np.where(
        new, 1, seen[before] + kinds[before]
    )
    return float(-np.log(np.where(new, unigram[after], share)).mean())


def compare_with_baselines(summary: dict[str, Any]) -> str:
    """Return a sentence about a training's bits per byte and those of its baselines."""
    unit = "val/bits_per_byte"
    baselines = summary["baselines"]
    if "bigram" not in baselines:
        return (
            f"{summary[unit]:.3f} bits per byte of the assistant's text, where chance has "
            f"{baselines['untrained'][unit]:.3f}"
        )
    bigram, untrained = (baselines[name][unit] for name in ("bigram", "untrained"))
    counted = baselines["tokens"]["train"]
    part = f" of the first {counted:,} tokens" * (counted == TRAINING_TOKENS)
    return (
        f"{summary[unit]:.3f} bits per byte, where a bigram model{part} has {bigram:.3f} "
        f"and an untrained one {untrained:.3f}"
    )


def _pair_codes(ids: npt.NDArray[np.integer[Any]], vocab_size: int) -> npt.NDArray[np.int64]:
    """Return a number for each token and its successor, (tokens − 1,)."""
    wide = ids.astype(np.int64)
    return wide[:-1] * vocab_size + wide[1:]
