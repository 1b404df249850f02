"""Teaches a new model the text of the pairs before its preferences are tuned."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from infinito.data.batches.order import permutation
from infinito.training.optimizer.rate_schedule import rate_factor

IGNORED = -100
"""Target of padding, which cross-entropy ignores."""


def warm_up(
    model: PreTrainedModel,
    sequences: Sequence[Sequence[int]],
    *,
    steps: int,
    lr: float,
    batch_size: int,
    seed: int,
) -> float:
    """Train next-token prediction on whole sequences, in place.

    Args:
        model: Left in training mode, on its device.
        sequences: Token ids, each at least two.
        steps: Optimizer steps of AdamW; the rate rises over a tenth of them, then falls to 0.1 lr.
        lr: Peak learning rate.
        batch_size: Sequences in a batch; fewer where there are fewer.
        seed: Seed of the order of the sequences.

    Returns:
        The loss of the last batch, in nats per token; NaN for no step.
    """
    size = min(batch_size, len(sequences))
    per_epoch = len(sequences) // size
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=0.1)
    factor = rate_factor("cosine", steps // 10, steps, 0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    loss = torch.tensor(float("nan"))
    model.train()
    for step in range(steps):
        epoch, number = divmod(step, per_epoch)
        chosen = permutation(len(sequences), seed, epoch)[number * size : (number + 1) * size]
        inputs, targets = pad_sequences([sequences[index] for index in chosen], model.device)
        logits = model(input_ids=inputs, use_cache=False).logits
        loss = cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return float(loss.detach())


def pad_sequences(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return inputs and targets (batch, time) of sequences, padded on the right."""
    time = max(map(len, rows)) - 1
    inputs = torch.zeros(len(rows), time, dtype=torch.long)
    targets = torch.full((len(rows), time), IGNORED)
    for row, ids in enumerate(rows):
        inputs[row, : len(ids) - 1] = torch.tensor(ids[:-1])
        targets[row, : len(ids) - 1] = torch.tensor(ids[1:])
    return inputs.to(device), targets.to(device)
