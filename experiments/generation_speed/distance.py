"""The decoding step of `DistanceLM`: any metric, learned or rotary positions."""

from __future__ import annotations

from typing import Any

from decoder import Decoder, multiply
from torch import Tensor
from torch.nn.functional import gelu
from transformers import Cache, PreTrainedModel

from infinito.attention.functional import attend_prepared, prepare
from infinito.models.distance_lm.block import LearnedScale
from infinito.models.distance_lm.rotary_positions import RotaryPositions, rotate


class DistanceDecoder(Decoder):  # type: ignore[misc]
    """A step of `DistanceLMForCausalLM` without bigram embeddings."""

    def __init__(self, model: PreTrainedModel, cache: Cache, length: int, real: Tensor) -> None:
        super().__init__(model, cache, length, real)
        trunk: Any = model.base_model
        self.norm, self.value_embeddings = trunk.norm, trunk.value_embeddings
        self.embedding = trunk.embed_tokens.weight
        self.output = model.get_output_embeddings().weight
        self.layers = [_Layer(layer, trunk) for layer in trunk.layers]
        self.backend = model.config.backend
        hidden, rotation = trunk.positions(
            self.embedding.new_zeros(1, 1, self.embedding.shape[1]), self.positions(length), 0
        )
        self.rotations = self.places = None
        if isinstance(trunk.positions, RotaryPositions):  # (batch or 1, steps, 1, dim / 2, 2)
            self.rotations = rotation.transpose(0, 1)[:, :, None].unbind()
        else:
            self.places = hidden.transpose(0, 1).unbind()
        self.rotation: Tensor | None = None
        self.token_values: Tensor | None = None

    def embed(self, tokens: Tensor, step: int) -> Tensor:
        """Return the embeddings, with learned positions where the model has such."""
        if self.value_embeddings is not None:
            self.token_values = self.value_embeddings(tokens)
        if self.rotations is not None:
            self.rotation = self.rotations[step]
        embedded: Tensor = self.embedding[tokens]
        return embedded if self.places is None else embedded + self.places[step]

    def block(
        self, number: int, hidden: Tensor, new: Tensor, keys: Tensor, values: Tensor
    ) -> Tensor:
        """Return the states after attention and feed-forward."""
        layer = self.layers[number]
        attention = layer.attention
        heads, kv_heads = attention.heads, attention.kv_heads
        features = multiply(layer.attention_norm(hidden), layer.qkv)
        features = features.view(hidden.shape[0], 1, -1, attention.head_dim)
        turning, value = features.split((heads + kv_heads, kv_heads), dim=2)
        if self.rotation is not None:
            turning = rotate(turning, self.rotation)
        queries, key = turning.split((heads, kv_heads), dim=2)
        # (batch, 1, heads, head_dim), and (batch, 1, kv_heads, head_dim) twice
        if attention.value_mix is not None and self.token_values is not None:
            own, token = attention.value_mix.to(value.dtype)
            value = own * value + token * self.token_values.view_as(value).to(value.dtype)
        mixed = self.mix(layer, (queries, key, value), new, keys, values)
        hidden = hidden + multiply(mixed, layer.out)
        wide = gelu(multiply(layer.feed_forward_norm(hidden), layer.up))
        return hidden + multiply(wide, layer.down)

    def mix(
        self,
        layer: _Layer,
        made: tuple[Tensor, Tensor, Tensor],
        new: Tensor,
        keys: Tensor,
        values: Tensor,
    ) -> Tensor:
        """Write the token's keys and values; return its attention, (batch, dim).

        Args:
            layer: Whose attention it is.
            made: Queries, key and value of the token, each (batch, 1, heads, head_dim).
            new: As `block` takes it.
            keys: The same.
            values: The same.
        """
        attention = layer.attention
        queries, key, value = (each.transpose(1, 2) for each in made)
        queries, key, value, factor = prepare(
            queries, key, value, attention.metric, layer.scale, attention.p
        )
        new[:, : self.kv_heads] = key[:, :, 0]
        new[:, self.kv_heads :] = value[:, :, 0]
        if attention.kernel == "dot":
            return self.attend(queries[:, :, 0], keys, values, factor).to(made[0].dtype)
        seen = self.seen()
        mixed = attend_prepared(
            queries,
            keys,
            values,
            kernel=attention.kernel,
            factor=factor,
            p=attention.p,
            key_padding=None if seen is None else seen[:, 0, 0],
            backend=self.backend,
        )
        return mixed.flatten(1).to(made[0].dtype)

    def head(self, hidden: Tensor) -> Tensor:
        """Return the logits of the normalised states."""
        return multiply(self.norm(hidden), self.output)


class _Layer:
    """The modules and weights of a layer, and its λ."""

    def __init__(self, layer: Any, trunk: Any) -> None:
        self.attention = layer.attention
        self.attention_norm, self.feed_forward_norm = layer.attention_norm, layer.feed_forward_norm
        self.qkv, self.out = layer.attention.qkv.weight, layer.attention.out.weight
        self.up, self.down = layer.feed_forward.up.weight, layer.feed_forward.out.weight
        shared = trunk.config.scale if trunk.scale is None else trunk.scale
        scale = shared if layer.attention.scale is None else layer.attention.scale
        self.scale = scale() if isinstance(scale, LearnedScale) else scale
