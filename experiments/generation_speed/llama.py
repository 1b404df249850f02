"""The decoding step of Llama, Mistral and Qwen2: RMS norms, rotary positions, a gated MLP."""

from __future__ import annotations

from typing import Any

import torch
from decoder import Decoder, multiply
from torch import Tensor
from torch.nn.functional import rms_norm
from transformers import Cache, PreTrainedModel


class LlamaDecoder(Decoder):  # type: ignore[misc]
    """A step of `LlamaForCausalLM` and of models that are built as it is."""

    def __init__(self, model: PreTrainedModel, cache: Cache, length: int, real: Tensor) -> None:
        super().__init__(model, cache, length, real)
        trunk: Any = model.base_model
        self.embedding = trunk.embed_tokens.weight
        self.norm = trunk.norm
        self.output = model.get_output_embeddings().weight
        self.layers = [_Layer(each) for each in trunk.layers]
        cosine, sine = trunk.rotary_emb(self.embedding, self.positions(length))
        # (batch or 1, steps, head_dim) twice; a step's rows (batch or 1, 1, head_dim)
        self.half = cosine.shape[-1] // 2
        self.turn: tuple[Tensor, Tensor]
        self.cosines = cosine.transpose(0, 1)[:, :, None].unbind()
        # A half turn swaps the halves, of which the first is to be subtracted.
        sine = torch.cat((-sine[..., : self.half], sine[..., self.half :]), dim=-1)
        self.sines = sine.transpose(0, 1)[:, :, None].unbind()

    def embed(self, tokens: Tensor, step: int) -> Tensor:
        """Return the embeddings; positions turn queries and keys instead."""
        self.turn = self.cosines[step], self.sines[step]
        return self.embedding[tokens]

    def block(
        self, number: int, hidden: Tensor, new: Tensor, keys: Tensor, values: Tensor
    ) -> Tensor:
        """Return the states after attention and gated MLP."""
        layer, (cosine, sine) = self.layers[number], self.turn
        own = _normalize(hidden, layer.attention_norm)
        batch, dim = hidden.shape[0], new.shape[-1]
        queries_keys = torch.cat((multiply(own, *layer.query), multiply(own, *layer.key)), dim=1)
        turning = queries_keys.view(batch, -1, dim)  # (batch, heads + kv_heads, head_dim)
        turned = torch.addcmul(turning * cosine, turning.roll(self.half, -1), sine)
        heads = turned.shape[1] - self.kv_heads
        queries, key = turned.split((heads, self.kv_heads), dim=1)
        torch.cat((key, multiply(own, *layer.value).view(batch, -1, dim)), dim=1, out=new)
        mixed = self.attend(queries, keys, values, layer.scale)
        hidden = hidden + multiply(mixed, *layer.out)
        own = _normalize(hidden, layer.mlp_norm)
        gated = layer.activation(multiply(own, *layer.gate)) * multiply(own, *layer.up)
        return hidden + multiply(gated, *layer.down)

    def head(self, hidden: Tensor) -> Tensor:
        """Return the logits of the normalised states."""
        return multiply(_normalize(hidden, self.norm), self.output)


class _Layer:
    """The weights, and biases or None, of a layer."""

    def __init__(self, layer: Any) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.attention_norm, self.mlp_norm = layer.input_layernorm, layer.post_attention_layernorm
        self.query, self.key = _parts(attention.q_proj), _parts(attention.k_proj)
        self.value, self.out = _parts(attention.v_proj), _parts(attention.o_proj)
        self.gate, self.up, self.down = map(_parts, (mlp.gate_proj, mlp.up_proj, mlp.down_proj))
        self.activation, self.scale = mlp.act_fn, attention.scaling


def _parts(module: Any) -> tuple[Tensor, Tensor | None]:
    return module.weight, module.bias


def _normalize(hidden: Tensor, norm: Any) -> Tensor:
    if hidden.dtype != torch.float32:
        return norm(hidden)
    return rms_norm(hidden, hidden.shape[-1:], norm.weight, norm.variance_epsilon)
