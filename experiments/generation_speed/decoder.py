"""The step that all decoders share: a new token for each text, over keys and values of one size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear, scaled_dot_product_attention
from transformers import Cache, PreTrainedModel

FEW_ROWS = range(2, 33)
"""Rows of a product for which oneDNN is up to twice as fast as torch's own choice of library."""


class Decoder(ABC):
    """A model that reads one new token of each text, without masks, modules and copies a token.

    Keys and values lie in one tensor of the final length, which a step writes to in place. A
    subclass knows the architecture; `supported.find_decoder` says which models it serves.

    Args:
        _model: One that `find_decoder` has accepted; subclasses take its weights.
        cache: Of the model's own forward of the texts so far, of equal lengths with padding.
        length: Tokens that the texts will have at most.
        real: (batch, time), nonzero for a real token and 0 for padding on the left.
    """

    def __init__(self, _model: PreTrainedModel, cache: Cache, length: int, real: Tensor) -> None:
        layers: Any = cache.layers
        keys: Tensor = layers[0].keys
        batch, self.kv_heads, self.time, head_dim = keys.shape
        self.stored = keys.new_empty(len(layers), batch, 2 * self.kv_heads, length, head_dim)
        for stored, layer in zip(self.stored, layers, strict=True):
            stored[:, : self.kv_heads, : self.time] = layer.keys
            stored[:, self.kv_heads :, : self.time] = layer.values
        self.visible: Tensor | None = None  # (batch, 1, 1, length)
        self.first, self.begun = real.sum(1), self.time  # positions of the next tokens, (batch,)
        if bool(real.all()):
            self.first = self.first[:1]
        else:
            self.visible = real.new_ones(batch, length, dtype=torch.bool)
            self.visible[:, : self.time] = real.bool()
            self.visible = self.visible[:, None, None]

    @abstractmethod
    def embed(self, tokens: Tensor, step: int) -> Tensor:
        """Return the embeddings of tokens (batch,) in the `step`-th step, (batch, dim)."""

    @abstractmethod
    def block(
        self, number: int, hidden: Tensor, new: Tensor, keys: Tensor, values: Tensor
    ) -> Tensor:
        """Return the states after a layer, (batch, dim).

        Args:
            number: Of the layer.
            hidden: (batch, dim).
            new: Where to write the token's keys and values, (batch, 2 · kv_heads, head_dim).
            keys: (batch, kv_heads, time, head_dim), the last of them those in `new`.
            values: The same.
        """

    @abstractmethod
    def head(self, hidden: Tensor) -> Tensor:
        """Return the logits of states (batch, dim), (batch, vocab)."""

    def step(self, tokens: Tensor) -> Tensor:
        """Put a token (batch,) behind each text; return the logits after it, (batch, vocab)."""
        hidden = self.embed(tokens, self.time - self.begun)
        news = self.stored.select(3, self.time).unbind()
        self.time += 1
        seen = self.stored.narrow(3, 0, self.time)
        keys = seen.narrow(2, 0, self.kv_heads).unbind()
        values = seen.narrow(2, self.kv_heads, self.kv_heads).unbind()
        for number, new in enumerate(news):
            hidden = self.block(number, hidden, new, keys[number], values[number])
        return self.head(hidden)

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
        """Return the attention of each text's last query to all its keys, (batch, heads · dim).

        Args:
            queries: (batch, heads, head_dim).
            keys: (batch, kv_heads, time, head_dim).
            values: The same.
            scale: Factor of the scores.
        """
        batch, heads, dim = queries.shape
        # Queries that share keys stand as rows of one head.
        rows = queries.view(batch, self.kv_heads, heads // self.kv_heads, dim)
        mixed = scaled_dot_product_attention(rows, keys, values, self.seen(), scale=scale)
        return mixed.reshape(batch, heads * dim)

    def seen(self) -> Tensor | None:
        """Return which keys are real, (batch, 1, 1, time), or None without padding."""
        return None if self.visible is None else self.visible[..., : self.time]

    def positions(self, length: int) -> Tensor:
        """Return the positions of all tokens that will be read, (batch or 1, length − time − 1)."""
        ahead = torch.arange(length - self.time - 1, device=self.first.device)
        return self.first[:, None] + ahead


def multiply(features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return `features` (batch, dim) times a weight (out, dim), plus the bias, (batch, out)."""
    few = len(features) in FEW_ROWS and features.dtype == weight.dtype == torch.float32
    if few and features.is_cpu and torch.backends.mkldnn.is_available():
        return torch.ops.mkldnn._linear_pointwise(features, weight, bias, "none", [], "")
    return linear(features, weight, bias)
