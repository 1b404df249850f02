"""The decoding step of GPT-2: layer norms, learned positions, `Conv1D` layers."""

from __future__ import annotations

from typing import Any

import torch
from decoder import Decoder, multiply
from torch import Tensor
from transformers import Cache, PreTrainedModel


class GPT2Decoder(Decoder):  # type: ignore[misc]
    """A step of `GPT2LMHeadModel`."""

    def __init__(self, model: PreTrainedModel, cache: Cache, length: int, real: Tensor) -> None:
        super().__init__(model, cache, length, real)
        trunk: Any = model.base_model
        self.embedding, self.norm, self.layers = trunk.wte.weight, trunk.ln_f, trunk.h
        self.output = model.get_output_embeddings().weight
        places = trunk.wpe(self.positions(length))  # (batch or 1, steps, dim)
        self.places = places.transpose(0, 1).unbind()

    def embed(self, tokens: Tensor, step: int) -> Tensor:
        """Return the embeddings of tokens and positions."""
        return self.embedding[tokens] + self.places[step]

    def block(
        self, number: int, hidden: Tensor, new: Tensor, keys: Tensor, values: Tensor
    ) -> Tensor:
        """Return the states after attention and MLP."""
        layer: Any = self.layers[number]
        attention, mlp = layer.attn, layer.mlp
        batch, dim = hidden.shape[0], new.shape[-1]
        features = _convolve(layer.ln_1(hidden), attention.c_attn).view(batch, -1, dim)
        queries, both = features.split((self.kv_heads, 2 * self.kv_heads), dim=1)
        new.copy_(both)  # keys before values
        mixed = self.attend(queries, keys, values, attention.scaling)
        hidden = hidden + _convolve(mixed, attention.c_proj)
        wide = mlp.act(_convolve(layer.ln_2(hidden), mlp.c_fc))
        return hidden + _convolve(wide, mlp.c_proj)

    def head(self, hidden: Tensor) -> Tensor:
        """Return the logits of the normalised states."""
        return multiply(self.norm(hidden), self.output)


def _convolve(features: Tensor, layer: Any) -> Tensor:
    return torch.addmm(layer.bias, features, layer.weight)
