"""Where the reference's log-probabilities of a batch come from; one callable for each way."""

from __future__ import annotations

import copy
from typing import Protocol

import torch
from torch import Tensor, nn

from infinito.errors import ConfigError
from infinito.models.pretrained.lora import adapters_off, has_adapters
from infinito.preferences.scoring.answer_scores import Head, score_answers
from infinito.preferences.scoring.layouts import PairBatch


class Reference(Protocol):
    """Gives the answers of a batch their log-probabilities, (2·pairs,) float64."""

    def __call__(self, batch: PairBatch) -> Tensor: ...


class PrecomputedReference:
    """Those that came with the batch."""

    def __call__(self, batch: PairBatch) -> Tensor:
        """See `Reference`.

        Raises:
            ConfigError: the batch came without.
        """
        if batch.reference is None:
            raise ConfigError(
                "`dpo.reference=precomputed`: the pairs came without the reference's "
                "log-probabilities. Compute them first, or set `dpo.reference=copy`."
            )
        return batch.reference


class CopyReference:
    """Those of a frozen copy of the policy as it was when this was made.

    Held outside the policy's module tree: neither optimizers nor checkpoints see it.

    Args:
        model: the policy.
        head: how its logits are made.
    """

    def __init__(self, model: nn.Module, head: Head = "fused") -> None:
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.head: Head = head

    def __call__(self, batch: PairBatch) -> Tensor:
        """See `Reference`."""
        self.model.to(batch.targets.device)
        with torch.no_grad():
            return score_answers(self.model, batch, self.head).log_probs


class AdapterOffReference:
    """Those of the policy with its adapters switched off, in evaluation mode.

    Args:
        policy: a model with adapters.
        head: how its logits are made.

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
        """See `Reference`."""
        training = self.policy.training
        if training:
            self.policy.eval()
        with torch.no_grad(), adapters_off(self.policy):
            found = score_answers(self.policy, batch, self.head).log_probs
        if training:
            self.policy.train()
        return found


class FreeReference:
    """0 for every answer: the loss pulls towards the uniform policy, that is, nowhere."""

    def __call__(self, batch: PairBatch) -> Tensor:
        """See `Reference`."""
        return torch.zeros(len(batch.tokens), dtype=torch.float64, device=batch.tokens.device)
