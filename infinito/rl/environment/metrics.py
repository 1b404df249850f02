"""Metrics of language models on the probe batch, from which observations and rewards follow."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

COHERENCE_THRESHOLD = 0.6
"""C above which a model counts as coherent; the observation's clock counts steps since then."""


class Metrics(NamedTuple):
    """Metrics of several models, each float64 (envs,)."""

    loss_text: np.ndarray
    """Language loss, nats per token."""
    phi: np.ndarray
    """Calibrated Φ, mean over the sequences of the batch."""
    loss_phi: np.ndarray
    """Distance of Φ from its band."""
    memory_use: np.ndarray
    """Share of the memory's slots that hold something, 0 without a memory."""

    @property
    def coherence(self) -> np.ndarray:
        """C = Φ/10."""
        return self.phi / 10

    @property
    def perplexity(self) -> np.ndarray:
        """exp of the loss, per token of the run's tokenizer."""
        perplexity: np.ndarray = np.exp(np.minimum(self.loss_text, 700.0))
        return perplexity

    def where(self, mask: np.ndarray, others: Metrics) -> Metrics:
        """Return these metrics where `mask` (envs,) is true, and those of `others` elsewhere."""
        return Metrics(
            *(np.where(mask, one, other) for one, other in zip(self, others, strict=True))
        )
