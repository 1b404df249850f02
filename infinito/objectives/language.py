"""The language-modelling loss and the units in which it is reported."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """Return the negative log-likelihood of the targets, in nats, ().

    Args:
        logits: (batch, time, vocab), any floating type; the loss is computed in float32 at least.
        targets: (batch, time) token ids; the target of a position is the token that follows it.
        reduction: "mean" or "sum" over all targets.
    """
    logits = logits.flatten(0, 1)  # (batch · time, vocab)
    if logits.dtype.itemsize < 4:
        logits = logits.float()
    return F.cross_entropy(logits, targets.flatten(), reduction=reduction)


def perplexity(nats: float, units_per_token: float = 1.0) -> float:
    """Return exp of the loss per unit: per token, or per word with words per token given.

    Args:
        nats: Mean loss per token.
        units_per_token: Words (or other units) of the text over its tokens.
    """
    exponent = nats / units_per_token
    return math.exp(exponent) if exponent < 700 else math.inf


def bits_per_byte(nats: float, bytes_per_token: float) -> float:
    """Return the bits that the model needs per byte of UTF-8 text: comparable across tokenizers.

    Args:
        nats: Mean loss per token.
        bytes_per_token: UTF-8 bytes of the text over its tokens.
    """
    return nats / math.log(2) / bytes_per_token
