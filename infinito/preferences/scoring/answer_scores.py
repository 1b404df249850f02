"""Scores the answers of a batch of pairs with a causal language model."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from infinito.models.log_probs.chosen_tokens import Head, score_tokens
from infinito.models.log_probs.token_log_probs import TokenScores
from infinito.preferences.scoring.layouts import PairBatch


class AnswerScores(NamedTuple):
    """Scores of the answers of a batch, chosen ones first."""

    log_probs: Tensor
    """(2·pairs,) float64: sums over the tokens of each answer, in nats."""
    tokens: TokenScores
    """Scores of each token, in the order of the batch's targets."""


def score_answers(
    model: nn.Module, batch: PairBatch, head: Head = "fused", statistics: bool = False
) -> AnswerScores:
    """Return the scores of the answers of a batch.

    Args:
        model: A causal language model of transformers, or one wrapped by peft.
        batch: Pairs in a layout that suits the model (see `layout_probe`).
        head: How logits are computed; the layout `full` always takes the model's own.
        statistics: Compute entropy, mean logits and top choices of the tokens too.
    """
    taken: Head = "whole" if batch.layout == "full" else head
    scores = score_tokens(model, batch.inputs, batch.positions, batch.targets, taken, statistics)
    sums = torch.zeros(len(batch.tokens), dtype=torch.float64, device=batch.tokens.device)
    return AnswerScores(sums.index_add(0, batch.answers, scores.log_probs.double()), scores)
