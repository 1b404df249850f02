"""The language loss without its logits: head and cross entropy go together, chunk by chunk."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from infinito.errors import ConfigError
from infinito.models.token_log_probs import token_scores
from infinito.objectives.language import cross_entropy

TOLERANCE = 1e-3
"""By which the loss may differ from that of the model's own logits in the trial, of it."""


def chunked_cross_entropy(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of the targets, in nats.

    It is that of `cross_entropy` of the model's logits, but no tensor tokens × vocab is held.

    Args:
        model: a causal LM whose head is a linear layer and nothing else (`check_head`).
        inputs: token ids (batch, time).
        targets: token ids (batch, time).
    """
    head = model.get_output_embeddings()  # type: ignore[operator]
    found: list[Tensor] = []

    def take(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        found.append(given[0])
        return (given[0][:, :0], *given[1:])

    handle = head.register_forward_pre_hook(take)
    try:
        model(input_ids=inputs, use_cache=False)
    finally:
        handle.remove()
    hidden = found[0].flatten(0, 1)
    return -token_scores(hidden, head.weight, head.bias, targets.flatten()).log_probs.mean()


@torch.no_grad()
def check_head(model: nn.Module) -> None:
    """Raise ConfigError unless the loss from the head's weight is that of the model's logits."""
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
