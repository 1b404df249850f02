"""Sources of the reference's log-probabilities of a batch, each a callable."""

from __future__ import annotations

import copy
from typing import Protocol

import torch
from torch import Tensor, nn

from infinito.errors import ConfigError
from infinito.models.log_probs.chosen_tokens import Head
from infinito.models.pretrained.lora import adapters_off, has_adapters
from infinito.preferences.scoring.answer_scores import score_answers
from infinito.preferences.scoring.layouts import PairBatch


class Reference(Protocol):
    """Returns the log-probabilities of the answers of a batch, (2·pairs,) float64."""

    def __call__(self, batch: PairBatch) -> Tensor: ...


class PrecomputedReference:
    """Returns those that the batch brings."""

    def __call__(self, batch: PairBatch) -> Tensor:
        """Return what `Reference` says.

        Raises:
            ConfigError: the batch brings none.
        """
        if batch.reference is None:
            raise ConfigError(
                "`dpo.reference=precomputed`: the pairs have no log-probabilities of the "
                "reference. Compute them first, or set `dpo.reference=copy`."
            )
        return batch.reference


class CopyReference:
    """Returns those of a frozen copy of the policy, made at construction.

    The copy is outside the policy's module tree, so neither optimizers nor checkpoints hold it.

    Args:
        model: The policy.
        head: How its logits are computed.
    """

    def __init__(self, model: nn.Module, head: Head = "fused") -> None:
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.head: Head = head

    def __call__(self, batch: PairBatch) -> Tensor:
        """Return what `Reference` says."""
        self.model.to(batch.targets.device)
        with torch.no_grad():
            return score_answers(self.model, batch, self.head).log_probs


class AdapterOffReference:
    """Returns those of the policy with its adapters switched off, in evaluation mode.

    Args:
        policy: A model with adapters.
        head: How its logits are computed.

    Raises:
        ConfigError: the policy has no adapters.
    """

    def __init__(self, policy: nn.Module, head: Head = "fused") -> None:
        if not has_adapters(policy):
            raise ConfigError(
                "`dpo.reference=adapter_off` needs a policy with adapters, and this one has none. "
                "Train adapters (`model.lora`), or set `dpo.reference=precomputed`."
            )
        self.policy, self.head = policy, head

    def __call__(self, batch: PairBatch) -> Tensor:
        """Return what `Reference` says."""
        training = self.policy.training
        if training:
            self.policy.eval()
        with torch.no_grad(), adapters_off(self.policy):
            found = score_answers(self.policy, batch, self.head).log_probs
        if training:
            self.policy.train()
        return found


class FreeReference:
    """Returns 0 for every answer, which pulls the policy towards no reference at all."""

    def __call__(self, batch: PairBatch) -> Tensor:
        """Return what `Reference` says."""
        return torch.zeros(len(batch.tokens), dtype=torch.float64, device=batch.tokens.device)
