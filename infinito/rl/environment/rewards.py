"""The reward of a step: two published formulas, one of them made relative, and one of our own.

v1 pays for changes of C, Φ and perplexity and charges for memory. v2 adds costs of jumps of Φ, of Φ
outside its band, of a perplexity out of bounds and of C outside 0.3 to 0.7. v2_relative takes the
perplexity bounds from the base model, because 10 and 200 mean nothing for another tokenizer. v3
pays for the fall of the held-out loss alone: its sum over an episode is the loss at the start minus
the loss at the end, so only a better model earns more (a potential in the sense of Ng, Harada and
Russell 1999).
"""

from __future__ import annotations

import numpy as np

from infinito.config import RewardConf
from infinito.errors import NonFiniteError
from infinito.objectives.phi import BAND
from infinito.rl.environment.metrics import Metrics

FREE_JUMP = 1.0
"""Largest change of Φ in a step that costs nothing."""
COHERENCE_BAND = (0.3, 0.7)
"""C at which the second formula pays its bonus."""

Terms = dict[str, np.ndarray]
"""Terms of a reward by name, each float64 (envs,)."""


def compute_reward_terms(
    before: Metrics, after: Metrics, weights: RewardConf, base_perplexity: float
) -> Terms:
    """Return the terms whose sum is the reward of a step.

    Args:
        before: Metrics of the models before the step.
        after: Metrics of the models after the step.
        weights: Weights of the terms.
        base_perplexity: Perplexity of the base model on the probe batch, the unit of relative
            bounds.
    """
    unit = base_perplexity if weights.relative else 1.0
    low, high = weights.perplexity_low * unit, weights.perplexity_high * unit
    rise = after.phi - before.phi
    fall = (before.perplexity - after.perplexity) / np.maximum(before.perplexity, 1.0)
    coherence, perplexity = after.coherence, after.perplexity
    return {
        "coherence": weights.coherence * (coherence - before.coherence),
        "phi": weights.phi * rise,
        "perplexity": weights.perplexity * fall,
        "memory": -weights.memory * after.memory_use,
        "jump": -weights.jump * np.maximum(0.0, np.abs(rise) - FREE_JUMP),
        "band": compute_band_term(
            after.phi, BAND, weights.below_band, weights.above_band, weights.in_band
        ),
        "perplexity_bounds": -weights.too_low * np.maximum(0.0, low - perplexity) / low
        - weights.too_high * np.maximum(0.0, perplexity - high) / (high / 2),
        "coherence_band": compute_band_term(
            coherence,
            COHERENCE_BAND,
            weights.below_coherence,
            weights.above_coherence,
            weights.in_coherence,
        ),
        "potential": weights.potential * (before.loss_text - after.loss_text),
    }


def compute_band_term(
    value: np.ndarray, band: tuple[float, float], below: float, above: float, inside: float
) -> np.ndarray:
    """Return the bonus inside a band and the cost of each unit outside it, (envs,)."""
    low, high = band
    outside = -below * np.maximum(0.0, low - value) - above * np.maximum(0.0, value - high)
    return outside + np.where((value >= low) & (value <= high), inside, 0.0)


def sum_terms(terms: Terms) -> np.ndarray:
    """Return the reward, (envs,).

    Raises:
        NonFiniteError: a term is NaN or infinite; the message names it.
    """
    for name, values in terms.items():
        if not np.isfinite(values).all():
            raise NonFiniteError(
                f"the reward's term `{name}` is {values}: the policy takes no step with it. "
                "The last good checkpoint is kept. Try a smaller `rl.inner_lr`"
            )
    rewards: np.ndarray = np.sum(list(terms.values()), axis=0)
    return rewards
