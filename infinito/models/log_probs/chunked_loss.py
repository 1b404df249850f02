"""The language loss without all logits: the head and the cross entropy run chunk by chunk."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from infinito.errors import ConfigError
from infinito.models.log_probs.token_log_probs import token_scores
from infinito.objectives.language import cross_entropy

TOLERANCE = 1e-3
"""Largest relative difference allowed between the chunked loss and the loss of the model's own
logits."""


def chunked_cross_entropy(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of the targets, in nats.

    It equals `cross_entropy` of the model's logits, but holds no tensor (tokens, vocab).

    Args:
        model: a causal LM whose head is a linear layer and nothing else (`check_head`).
        inputs: token ids (batch, time).
        targets: token ids (batch, time).
    """
    head = model.get_output_embeddings()  # type: ignore[operator]
    found: list[Tensor] = []

    def take(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        found.append(given[0])  # (batch, time, dim)
        return (given[0][:, :0], *given[1:])  # the head itself multiplies no token

    handle = head.register_forward_pre_hook(take)
    try:
        model(input_ids=inputs, use_cache=False)
    finally:
        handle.remove()
    hidden = found[0].flatten(0, 1)  # (tokens, dim)
    return -token_scores(hidden, head.weight, head.bias, targets.flatten()).log_probs.mean()


@torch.no_grad()
def check_head(model: nn.Module) -> None:
    """Raise ConfigError unless a trial gives the loss of the model's own logits."""
    head = model.get_output_embeddings()  # type: ignore[operator]
    fits = type(head) is nn.Linear
    if fits:
        training = model.training
        tokens = torch.arange(9, device=head.weight.device)[None] % head.out_features
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        model.eval()
        found = chunked_cross_entropy(model, inputs, targets)
        wanted = cross_entropy(model(input_ids=inputs, use_cache=False).logits, targets)
        model.train(training)
        fits = bool((found - wanted).abs() <= TOLERANCE * wanted.abs())
    if not fits:
        raise ConfigError(
            f"`trainer.chunked_loss`=true: {type(model).__name__} makes its logits by more than "
            "one linear layer. Use `trainer.chunked_loss=false`"
        )
