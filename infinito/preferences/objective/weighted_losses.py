"""What preference tuning minimises: a weighted list of losses with their settings, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from infinito.errors import ConfigError
from infinito.preferences.objective.losses import LOSSES, PairLogProbs
from infinito.wording import suggest


@dataclass(frozen=True)
class PreferenceObjective:
    """A weighted sum of losses.

    Raises:
        ConfigError: all faults together: an unknown loss, no loss, β or τ not above 0, a smoothing
            outside [0, 0.5), `exo_pair` without smoothing, a negative weight.
    """

    losses: Mapping[str, float] = field(default_factory=lambda: {"sigmoid": 1.0})
    """Weights by name in `LOSSES`."""
    beta: float = 0.1
    """Strength of the pull to the reference; also SimPO's β, ORPO's λ and IPO's τ."""
    label_smoothing: float = 0.0
    """ε, the probability that a label is flipped; of cdpo, robust, exo_pair, aot, aot_unpaired."""
    nll_weight: float = 0.0
    """Weight of the chosen answer's cross-entropy per token, added to the losses.

    Source: Pang et al. 2024, arXiv:2404.19733, eq. 1.
    """
    average_length: bool = False
    """Divide log-probabilities by the tokens of their answer before any loss."""
    discopop_tau: float = 0.05
    simpo_gamma: float = 0.5
    """Margin that SimPO asks for, in units of the reward."""

    def __post_init__(self) -> None:
        if faults := self.faults():
            raise ConfigError(faults)

    def __call__(self, pairs: PairLogProbs) -> Tensor:
        """The loss of each pair, (pairs,); `aot*` and `sft` depend on the batch as a whole."""
        if self.average_length:
            pairs = pairs.per_token()
        terms = [weight * LOSSES[name](pairs, self) for name, weight in self.losses.items()]
        if self.nll_weight:
            terms.append(-self.nll_weight * pairs.chosen / pairs.chosen_tokens)
        return torch.stack(terms).sum(0)

    def faults(self) -> list[str]:
        """What does not fit, one sentence per fault."""
        found = [
            f"`dpo.loss`={name}: there is no such loss; {suggest(name, LOSSES)}"
            for name in self.losses
            if name not in LOSSES
        ]
        if not self.losses:
            found.append("`dpo.loss` is empty: expected at least one, e.g. `dpo.loss=sigmoid`.")
        found += [
            f"`dpo.loss`={name} has weight {weight:g}: expected one above 0."
            for name, weight in self.losses.items()
            if not 0 < weight < float("inf")
        ]
        for key, value in (("beta", self.beta), ("discopop_tau", self.discopop_tau)):
            if not 0 < value < float("inf"):
                found.append(
                    f"`dpo.{key}`={value:g}: expected a number above 0, e.g. `dpo.{key}="
                    f"{0.1 if key == 'beta' else 0.05}`."
                )
        if not 0 <= self.label_smoothing < 0.5:
            found.append(
                f"`dpo.label_smoothing`={self.label_smoothing:g}: expected 0 or more and less than "
                "0.5, where labels would say nothing, e.g. `dpo.label_smoothing=0.1`."
            )
        elif self.label_smoothing == 0 and "exo_pair" in self.losses:
            found.append(
                "`dpo.loss=exo_pair` is infinite at `dpo.label_smoothing=0`. Choose "
                "`dpo.label_smoothing=0.001`, as its paper does."
            )
        if not 0 <= self.nll_weight < float("inf"):
            found.append(f"`dpo.nll_weight`={self.nll_weight:g}: expected 0 or more.")
        return found
