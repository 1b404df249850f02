"""Figures from log-probabilities of policy and reference: rewards, margins, accuracies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from infinito import statistics

TIE_NATS = 1e-4
"""Largest margin that counts as a tie: sums over other batches differ by less."""


@dataclass(frozen=True)
class PreferenceScores:
    """Log-probabilities of the answers to pairs, in nats; all arrays (pairs,)."""

    chosen: np.ndarray
    """log π(chosen | prompt)."""
    rejected: np.ndarray
    reference_chosen: np.ndarray
    """log π_ref(chosen | prompt); 0 without a reference."""
    reference_rejected: np.ndarray
    chosen_tokens: np.ndarray
    """Tokens of the chosen answer, its end-of-text token included."""
    rejected_tokens: np.ndarray
    categories: Sequence[str | None]

    def __len__(self) -> int:
        return len(self.chosen)

    def margins(self, beta: float) -> np.ndarray:
        """Return β times how much more the policy than the reference prefers the chosen answer.

        Source: the implicit reward of Rafailov et al. 2023, arXiv:2305.18290, section 4.
        """
        chosen, rejected = self.rewards(beta)
        margins: np.ndarray = chosen - rejected
        return margins

    def ties(self, beta: float) -> np.ndarray:
        """Return whether policy and reference agree on a pair up to rounding."""
        ties: np.ndarray = np.abs(self.margins(beta)) <= beta * TIE_NATS
        return ties

    def wins(self, beta: float) -> np.ndarray:
        """Return whether a pair's margin is above 0 by more than rounding."""
        return self.margins(beta) > beta * TIE_NATS

    def rewards(self, beta: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the implicit rewards of chosen and rejected answers."""
        return (
            beta * (self.chosen - self.reference_chosen),
            beta * (self.rejected - self.reference_rejected),
        )

    def select(self, category: str | None) -> PreferenceScores:
        """Return the scores of one category."""
        kept = [index for index, each in enumerate(self.categories) if each == category]
        return PreferenceScores(
            self.chosen[kept],
            self.rejected[kept],
            self.reference_chosen[kept],
            self.reference_rejected[kept],
            self.chosen_tokens[kept],
            self.rejected_tokens[kept],
            [category] * len(kept),
        )


def summarize_scores(scores: PreferenceScores, beta: float) -> dict[str, Any]:
    """Return rewards, margin and accuracies of pairs with their intervals, as plain values."""
    chosen, rejected = scores.rewards(beta)
    return {
        "pairs": len(scores),
        "ties": int(scores.ties(beta).sum()),
        "margin": mean_interval(chosen - rejected),
        "reward_chosen": float(chosen.mean()),
        "reward_rejected": float(rejected.mean()),
        "accuracy": share_interval(scores.wins(beta)),
        "raw_accuracy": share_interval(scores.chosen > scores.rejected),
        "logp_chosen": float(scores.chosen.mean()),
        "logp_rejected": float(scores.rejected.mean()),
    }


def summarize_by_category(scores: PreferenceScores, beta: float) -> dict[str, dict[str, Any]]:
    """Return `summarize_scores` of each category, in alphabetical order."""
    names = sorted({each for each in scores.categories if each is not None})
    return {name: summarize_scores(scores.select(name), beta) for name in names}


def score_by_length(scores: PreferenceScores) -> dict[str, dict[str, Any]]:
    """Return how often the longer, or the shorter, answer is chosen; a tie is half a win for each.

    A policy whose accuracy does not exceed these may have learned length alone.
    """
    longer = (np.sign(scores.chosen_tokens - scores.rejected_tokens) + 1) / 2
    return {"longer_wins": share_interval(longer), "shorter_wins": share_interval(1 - longer)}


def correlate_with_length(scores: PreferenceScores, beta: float) -> float | None:
    """Return Pearson's r of margin and difference in length (tokens); None if one is constant."""
    margin = scores.margins(beta)
    longer = scores.chosen_tokens - scores.rejected_tokens
    if len(scores) < 3 or np.ptp(margin) == 0 or np.ptp(longer) == 0:
        return None
    return float(np.corrcoef(margin, longer)[0, 1])


def measure_displacement(
    chosen_change: np.ndarray, rejected_change: np.ndarray
) -> dict[str, float]:
    """Return how the answers' log-probabilities changed: chosen ones can fall although preferred.

    Args:
        chosen_change: Change of each chosen answer's log-probability, (pairs,) in nats.
        rejected_change: Change of each rejected answer's, (pairs,) in nats.

    Source: Razin et al. 2024, Unintentional unalignment: likelihood displacement in DPO,
    arXiv:2410.08847.
    """
    return {
        "chosen_change_nats": float(chosen_change.mean()),
        "share_of_chosen_that_fell": float((chosen_change < 0).mean()),
        "rejected_change_nats": float(rejected_change.mean()),
    }


def mean_interval(values: np.ndarray) -> dict[str, float]:
    """Return the mean and its 95 % t interval; the bounds are NaN for one value."""
    return vars(statistics.mean_interval(values))


def share_interval(wins: np.ndarray) -> dict[str, float]:
    """Return a share and its 95 % Wilson interval.

    Args:
        wins: (trials,) of 1 and 0, or of bool; 0.5 is half a win.

    Source: Wilson 1927, J. Am. Stat. Assoc. 22, 209–212.
    """
    found = statistics.wilson_interval(wins)
    return {"share": found.mean, "low": found.low, "high": found.high}
