"""Computes a model's log-probabilities of the answers of many pairs, without gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from infinito.models.pretrained.lora import adapters_off, has_adapters
from infinito.preferences.scoring.answer_scores import score_answers
from infinito.preferences.scoring.layout_probe import Layout
from infinito.preferences.scoring.layouts import Pair, arrange


@torch.no_grad()
def tabulate_log_probs(
    model: nn.Module,
    pairs: Sequence[Pair],
    layout: Layout,
    *,
    batch_tokens: int = 4096,
    adapters: bool = True,
) -> Tensor:
    """Return log-probabilities of chosen and rejected answers, (pairs, 2) float64 on the CPU.

    Args:
        model: A causal language model; evaluated without dropout, its mode is kept.
        pairs: Any number, in any order.
        layout: One that suits the model.
        batch_tokens: Most tokens of a batch, padding included; a single pair may have more.
        adapters: Leave the model's adapters on, if it has any.
    """
    table = torch.empty(len(pairs), 2, dtype=torch.float64)
    device = next(model.parameters()).device
    training = model.training
    model.eval()
    with ExitStack() as stack:
        stack.callback(model.train, training)
        if not adapters and has_adapters(model):
            stack.enter_context(adapters_off(model))
        for numbers in _batches(pairs, batch_tokens):
            batch = arrange([pairs[n] for n in numbers], layout.name).to(device)
            scores = score_answers(model, batch, layout.head).log_probs
            table[numbers] = scores.view(2, -1).T.cpu()
    return table


def _batches(pairs: Sequence[Pair], batch_tokens: int) -> Iterator[list[int]]:
    """Yield the numbers of pairs of similar length that fill a batch."""
    sizes = [len(each.prompt_ids) + len(each.chosen_ids) + len(each.rejected_ids) for each in pairs]
    batch: list[int] = []
    for number in sorted(range(len(pairs)), key=lambda n: sizes[n], reverse=True):
        if batch and (len(batch) + 1) * sizes[batch[0]] > batch_tokens:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
