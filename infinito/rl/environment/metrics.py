"""What is measured of a language model on the probe batch, for observation and reward."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

COHERENCE_THRESHOLD = 0.6
"""C above which a model counts as coherent, for the clock in the observation."""


class Metrics(NamedTuple):
    """Of several models at once, each float64 (envs,)."""

    loss_text: np.ndarray
    """Nats per token."""
    phi: np.ndarray
    """Calibrated Φ, mean over the sequences of the batch."""
    loss_phi: np.ndarray
    """What Φ lies outside the band."""
    memory_use: np.ndarray
    """Share of the memory's slots that are written, 0 without a memory."""

    @property
    def coherence(self) -> np.ndarray:
        """C, which is Φ/10."""
        return self.phi / 10

    @property
    def perplexity(self) -> np.ndarray:
        """exp of the loss, per token of the run's tokenizer."""
        return np.exp(np.minimum(self.loss_text, 700.0))

    def chosen(self, which: np.ndarray, others: Metrics) -> Metrics:
        """The metrics with those of `others` where `which` (envs,) is false."""
        return Metrics(
            *(np.where(which, one, other) for one, other in zip(self, others, strict=True))
        )
