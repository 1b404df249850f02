"""Losses of preference tuning: functions of sequence log-probabilities, one number per pair.

Log-probabilities are in nats, summed over the tokens of an answer; ratios are to the reference.
Every loss is written from its paper. Where TRL (1.16) deviates from the printed formula, the
docstring says so and the code follows TRL, so that results compare.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


class PairLogProbs(NamedTuple):
    """Log-probabilities of a batch's answers under policy and reference; all tensors (pairs,)."""

    chosen: Tensor
    """log π(chosen | prompt)."""
    rejected: Tensor
    reference_chosen: Tensor
    """log π_ref(chosen | prompt); 0 without a reference."""
    reference_rejected: Tensor
    chosen_tokens: Tensor
    """Tokens of the chosen answer, its end-of-text token included."""
    rejected_tokens: Tensor

    @property
    def chosen_ratio(self) -> Tensor:
        """log π/π_ref of the chosen answer."""
        return self.chosen - self.reference_chosen

    @property
    def rejected_ratio(self) -> Tensor:
        """log π/π_ref of the rejected answer."""
        return self.rejected - self.reference_rejected

    @property
    def margin(self) -> Tensor:
        """How much more the policy than the reference prefers the chosen answer, in nats."""
        return self.chosen_ratio - self.rejected_ratio

    def per_token(self) -> PairLogProbs:
        """Return log-probabilities averaged over the tokens of each answer."""
        one = torch.ones_like(self.chosen_tokens)
        return PairLogProbs(
            self.chosen / self.chosen_tokens,
            self.rejected / self.rejected_tokens,
            self.reference_chosen / self.chosen_tokens,
            self.reference_rejected / self.rejected_tokens,
            one,
            one,
        )


class LossSettings(Protocol):
    """Settings that losses read: β, ε, τ and γ of their papers."""

    @property
    def beta(self) -> float: ...
    @property
    def label_smoothing(self) -> float: ...
    @property
    def discopop_tau(self) -> float: ...
    @property
    def simpo_gamma(self) -> float: ...


def sigmoid(pairs: PairLogProbs, settings: LossSettings) -> Tensor:
    """−log σ(β·margin).

    Source: Rafailov et al. 2023, DPO, arXiv:2305.18290, eq. 7.
    """
    return -logsigmoid(settings.beta * pairs.margin)


def cdpo(pairs: PairLogProbs, settings: LossSettings) -> Tensor:
    """Cross-entropy with the label ε flipped: its minimum is a finite margin.

    Source: Mitchell 2023, A note on DPO with noisy preferences and relationship to IPO.
    """
    return _smoothed(settings.beta * pairs.margin, settings.label_smoothing)


def robust(pairs: PairLogProbs, settings: LossSettings) -> Tensor:
    """The DPO loss whose mean over labels flipped with probability ε is that of clean labels.

    Source: Chowdhury et al. 2024, Provably robust DPO, arXiv:2403.00409, section 3.1.
    """
    epsilon, scaled = settings.label_smoothing, settings.beta * pairs.margin
    clean, flipped = -logsigmoid(scaled), -logsigmoid(-scaled)
    return ((1 - epsilon) * clean - epsilon * flipped) / (1 - 2 * epsilon)


def hinge(pairs: PairLogProbs, settings: LossSettings) -> Tensor:
    """max(0, 1 − β·margin).

    Source: Zhao et al. 2023, SLiC-HF, arXiv:2305.10425, section 2; on ratios to the reference as
    the hinge-norm loss of Liu et al. 2023, RSO, arXiv:2309.06657.
    """
    return torch.relu(1 - settings.beta * pairs.margin)


def ipo(pairs: PairLogProbs, settings: LossSettings) -> Tensor:
    """(margin − 1/2β)², β being the paper's τ.

    Source: Azar et al. 2023, arXiv:2310.12036, eq. 17; averaged over tokens as in TRL, which the
    paper does not print.
    """
    return (pairs.per_token().margin - 1 / (2 * settings.beta)).square()


def exo_pair(pairs: PairLogProbs, settings: LossSettings) -> Tensor:
    """KL from (1 − ε, ε) to the policy's own (σ(β·margin), σ(−β·margin)); ε > 0.

    Source: Ji et al. 2024, EXO, arXiv:2402.00856, eq. 16.
    """
    epsilon, scaled = settings.label_smoothing, settings.beta * pairs.margin
    won, lost = logsigmoid(scaled), logsigmoid(-scaled)
    return won.exp() * (won - math.log1p(-epsilon)) + lost.exp() * (lost - math.log(epsilon))


def nca_pair(pairs: PairLogProbs, settings: LossSettings) -> Tensor:
    """Noise contrast of each answer against the reference, instead of the two against each other.

    Source: Chen et al. 2024, NCA, arXiv:2402.05369, table 1.
    """
    chosen, rejected = _rewards(pairs, settings)
    return -logsigmoid(chosen) - 0.5 * logsigmoid(-chosen) - 0.5 * logsigmoid(-rejected)


def bco_pair(pairs: PairLogProbs, settings: LossSettings) -> Tensor:
    """Chosen classified as good, rejected as bad.

    Source: Jung et al. 2024, BCO, arXiv:2404.04656, section 4; without the running reward shift.
    """
    chosen, rejected = _rewards(pairs, settings)
    return -logsigmoid(chosen) - logsigmoid(-rejected)


def sppo_hard(pairs: PairLogProbs, settings: LossSettings) -> Tensor:
    """Squares that pull the ratios to ±1/2β.

    Source: Wu et al. 2024, SPPO, arXiv:2405.00675, eq. 4.7 with win probabilities 1 and 0.
    """
    goal = 0.5 / settings.beta
    return (pairs.chosen_ratio - goal).square() + (pairs.rejected_ratio + goal).square()


def aot(pairs: PairLogProbs, settings: LossSettings) -> Tensor:
    """The policy's log-odds against the reference's, matched by rank within the batch.

    Source: Melnyk et al. 2024, AOT, arXiv:2406.05882, section 3, paired.
    """
    policy = (pairs.chosen - pairs.rejected).sort().values
    reference = (pairs.reference_chosen - pairs.reference_rejected).sort().values
    return _smoothed(settings.beta * (policy - reference), settings.label_smoothing)


def aot_unpaired(pairs: PairLogProbs, settings: LossSettings) -> Tensor:
    """Ratios of chosen against those of rejected answers, matched by rank within the batch.

    Source: Melnyk et al. 2024, AOT, arXiv:2406.05882, section 3, unpaired.
    """
    difference = pairs.chosen_ratio.sort().values - pairs.rejected_ratio.sort().values
    return _smoothed(settings.beta * difference, settings.label_smoothing)


def apo_zero(pairs: PairLogProbs, settings: LossSettings) -> Tensor:
    """Raises chosen and lowers rejected answers, where chosen ones are better than the model's own.

    Source: D'Oosterlinck et al. 2024, APO, arXiv:2408.06266, eq. 7.
    """
    chosen, rejected = _rewards(pairs, settings)
    return torch.sigmoid(-chosen) + torch.sigmoid(rejected)


def apo_down(pairs: PairLogProbs, settings: LossSettings) -> Tensor:
    """Lowers both, rejected answers more, where chosen ones are worse than the model's own.

    Source: D'Oosterlinck et al. 2024, APO, arXiv:2408.06266, eq. 8.
    """
    chosen, rejected = _rewards(pairs, settings)
    return torch.sigmoid(chosen) + torch.sigmoid(rejected - chosen)


def discopop(pairs: PairLogProbs, settings: LossSettings) -> Tensor:
    """A blend of the logistic and the exponential loss that depends on the margin.

    Source: Lu et al. 2024, DiscoPOP, arXiv:2406.08414, eq. 5.
    """
    scaled = settings.beta * pairs.margin
    blend = torch.sigmoid(scaled / settings.discopop_tau)
    return -logsigmoid(scaled) * (1 - blend) + torch.exp(-scaled) * blend


def sft(pairs: PairLogProbs, _: LossSettings) -> Tensor:
    """Cross-entropy of the chosen answers; the mean over pairs is the mean over the batch's tokens.

    Source: the plain language-modelling loss, as in TRL.
    """
    return -pairs.chosen / pairs.chosen_tokens.to(pairs.chosen.dtype).mean()


def sigmoid_norm(pairs: PairLogProbs, settings: LossSettings) -> Tensor:
    """The DPO loss of log-probabilities averaged over tokens.

    Source: Lambert et al. 2024, Tülu 3, arXiv:2411.15124, length-normalised DPO.
    """
    return sigmoid(pairs.per_token(), settings)


def simpo(pairs: PairLogProbs, settings: LossSettings) -> Tensor:
    """−log σ(β·(difference per token) − γ); no reference.

    Source: Meng et al. 2024, SimPO, arXiv:2405.14734, eq. 6.
    """
    averaged = pairs.per_token()
    return -logsigmoid(settings.beta * (averaged.chosen - averaged.rejected) - settings.simpo_gamma)


def orpo(pairs: PairLogProbs, settings: LossSettings) -> Tensor:
    """Cross-entropy of the chosen answer plus β (the paper's λ) times the odds-ratio loss.

    Source: Hong et al. 2024, ORPO, arXiv:2403.07691, eqs. 6 and 7; no reference.
    """
    averaged = pairs.per_token()
    odds = _log_odds(averaged.chosen) - _log_odds(averaged.rejected)
    return -averaged.chosen - settings.beta * logsigmoid(odds)


Loss = Callable[[PairLogProbs, LossSettings], Tensor]

LOSSES: dict[str, Loss] = {
    loss.__name__: loss
    for loss in (
        sigmoid,
        hinge,
        ipo,
        exo_pair,
        nca_pair,
        robust,
        bco_pair,
        sppo_hard,
        aot,
        aot_unpaired,
        apo_zero,
        apo_down,
        discopop,
        sft,
        sigmoid_norm,
        cdpo,
        simpo,
        orpo,
    )
}
"""Losses by name: the fifteen of TRL 1.16, then cdpo, simpo and orpo."""

REFERENCE_FREE = frozenset({"sft", "simpo", "orpo"})
"""Losses that do not depend on the reference."""


def _rewards(pairs: PairLogProbs, settings: LossSettings) -> tuple[Tensor, Tensor]:
    return settings.beta * pairs.chosen_ratio, settings.beta * pairs.rejected_ratio


def _smoothed(scaled: Tensor, epsilon: float) -> Tensor:
    return -(1 - epsilon) * logsigmoid(scaled) - epsilon * logsigmoid(-scaled)


def _log_odds(log_probability: Tensor) -> Tensor:
    """Return log p/(1 − p) for log p < 0, accurate near p = 0 and p = 1."""
    return log_probability - torch.log(-torch.expm1(log_probability))
