"""Log-probabilities of given tokens, computed from hidden states without holding all logits."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from infinito.models.log_probs.tied_gradient import TiedGradient

CHUNK_BYTES = 32 << 20
"""Bytes of logits in one chunk."""

KEPT_BYTES = 128 << 20
"""Bytes of log-probabilities kept for the backward pass, which computes the rest again."""


class TokenScores(NamedTuple):
    """What a model predicts for given tokens, each (tokens,)."""

    log_probs: Tensor
    """log p(token), in nats."""
    entropy: Tensor | None = None
    """Entropy of the prediction, in nats."""
    mean_logits: Tensor | None = None
    """Mean of the logits over the vocabulary."""
    is_top: Tensor | None = None
    """Whether no token is more likely."""


def token_scores(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    statistics: bool = False,
    tied: TiedGradient | None = None,
) -> TokenScores:
    """Return the scores of tokens under softmax(hidden · weightᵀ + bias).

    Args:
        hidden: (tokens, dim).
        weight: (vocab, dim).
        bias: (vocab,) or None.
        targets: (tokens,) token ids.
        statistics: whether to compute entropy, mean logits and is_top too; they carry no gradient.
        tied: where the weight's gradient is left for the embedding, which hands both parts on.
    """
    log_probs, *rest = _TokenScores.apply(hidden, weight, bias, targets, statistics, tied)
    return TokenScores(log_probs, *rest) if statistics else TokenScores(log_probs)


def logit_scores(logits: Tensor, targets: Tensor, statistics: bool = False) -> TokenScores:
    """Return the scores of tokens given their logits (tokens, vocab); see `token_scores`."""
    logs = logits.float() if logits.dtype.itemsize < 4 else logits
    logs = logs.log_softmax(-1)  # (tokens, vocab)
    log_probs = logs.gather(-1, targets[:, None]).squeeze(-1)  # (tokens,)
    if not statistics:
        return TokenScores(log_probs)
    with torch.no_grad():
        return TokenScores(log_probs, *_statistics(logits, logs, log_probs))


class _TokenScores(torch.autograd.Function):
    """Runs the head chunk by chunk.

    The gradient of Σ gᵢ log p(targetᵢ) with respect to the logits is gᵢ (1[target] − p), computed
    in place in the memory of the log-probabilities.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        statistics: bool,
        tied: TiedGradient | None,
    ) -> tuple[Tensor, ...]:
        device = hidden.device.type
        dtype = hidden.dtype
        if torch.is_autocast_enabled(device):
            dtype = torch.get_autocast_dtype(device)
        ctx.dtype, ctx.tied = dtype, tied
        size = len(targets) * weight.shape[0] * max(4, dtype.itemsize)
        ctx.rows = max(1, len(targets) * CHUNK_BYTES // max(1, size))
        budget = KEPT_BYTES if any(ctx.needs_input_grad) else 0
        ctx.kept = []
        found: list[tuple[Tensor, ...]] = []
        for part in range(0, len(targets), ctx.rows):
            chunk = slice(part, part + ctx.rows)
            logits = _logits(hidden[chunk], weight, bias, dtype)  # (chunk, vocab)
            logs = logits.log_softmax(-1)
            log_probs = logs.gather(-1, targets[chunk, None]).squeeze(-1)  # (chunk,)
            rest = _statistics(logits, logs, log_probs) if statistics else ()
            found.append((log_probs, *rest))
            budget -= logs.nbytes
            if budget >= 0:
                ctx.kept.append(logs)
        ctx.save_for_backward(hidden, weight, bias, targets)
        joined = tuple(torch.cat(parts) for parts in zip(*found, strict=True))
        ctx.mark_non_differentiable(*joined[1:])
        return joined

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, targets = ctx.saved_tensors
        by_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        waits = ctx.tied is not None and ctx.tied.waits_for(len(targets), weight)
        by_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] and not waits else None
        by_bias = torch.zeros_like(bias) if ctx.needs_input_grad[2] else None
        cast = weight.to(ctx.dtype)
        for part in range(0, len(targets), ctx.rows):
            chunk = slice(part, part + ctx.rows)
            if ctx.kept:
                logs = ctx.kept.pop(0)
            else:
                logs = _logits(hidden[chunk], weight, bias, ctx.dtype).log_softmax(-1)
            g = gradient[chunk, None]
            by_logits = logs.exp_().mul_(-g).scatter_add_(-1, targets[chunk, None], g)
            by_logits = by_logits.to(ctx.dtype)  # (chunk, vocab)
            if by_hidden is not None:
                by_hidden[chunk] = by_logits @ cast
            if waits:
                ctx.tied.factors.append((by_logits, hidden[chunk]))
            if by_weight is not None:
                by_weight.addmm_(by_logits.T.to(weight.dtype), hidden[chunk].to(weight.dtype))
            if by_bias is not None:
                by_bias += by_logits.sum(0)
        return by_hidden, by_weight, by_bias, None, None, None


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Tensor:
    logits = torch.nn.functional.linear(
        hidden.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    )
    return logits.float() if dtype.itemsize < 4 else logits


def _statistics(logits: Tensor, logs: Tensor, log_probs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    entropy = -(logs.exp() * logs).sum(-1)
    return entropy, logits.mean(-1, dtype=logs.dtype), log_probs >= logs.amax(-1)
