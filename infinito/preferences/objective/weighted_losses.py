"""The objective of preference tuning: a weighted sum of losses with their settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from infinito.cli.typed_values import parse_group
from infinito.config import DpoConf, dpo_faults
from infinito.errors import ConfigError
from infinito.preferences.objective.losses import LOSSES, PairLogProbs


@dataclass(frozen=True)
class PreferenceObjective:
    """A weighted sum of losses. Its settings obey the limits of the `dpo` group (`DpoConf`).

    Raises:
        ConfigError: all values out of their limits together; else all that do not fit together.
    """

    losses: Mapping[str, float] = field(default_factory=lambda: {"sigmoid": 1.0})
    """Weights by name in `LOSSES`."""
    beta: float = 0.1
    """Strength of the pull to the reference; also SimPO's β, ORPO's λ and IPO's τ."""
    label_smoothing: float = 0.0
    """ε, the probability that a label is flipped, read by cdpo, robust, exo_pair and aot*."""
    nll_weight: float = 0.0
    """Weight of the chosen answer's cross-entropy per token, added to the losses.

    Source: Pang et al. 2024, arXiv:2404.19733, eq. 1.
    """
    average_length: bool = False
    """Divide log-probabilities by the tokens of their answer before any loss."""
    discopop_tau: float = 0.05
    simpo_gamma: float = 0.5
    """Margin that SimPO aims at, in units of the reward."""

    def __post_init__(self) -> None:
        settings = {name: value for name, value in vars(self).items() if name != "losses"}
        losses = {"loss": list(self.losses), "loss_weights": list(self.losses.values())}
        if faults := dpo_faults(parse_group(DpoConf, {**losses, **settings}, "dpo")):
            raise ConfigError(faults)

    def __call__(self, pairs: PairLogProbs) -> Tensor:
        """Return the loss of each pair, (pairs,); `aot*` and `sft` depend on the whole batch."""
        if self.average_length:
            pairs = pairs.per_token()
        terms = [weight * LOSSES[name](pairs, self) for name, weight in self.losses.items()]
        if self.nll_weight:
            terms.append(-self.nll_weight * pairs.chosen / pairs.chosen_tokens)
        return torch.stack(terms).sum(0)
