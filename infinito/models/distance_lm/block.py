"""One pre-norm transformer block with distance attention."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu, softplus
from transformers import Cache
from transformers.modeling_layers import GradientCheckpointingLayer

from infinito.attention.functional import attend_prepared, describe, prepare
from infinito.attention.metrics.table import find_metric
from infinito.attention.precision import widen
from infinito.attention.reference import attend_with_weights
from infinito.attention.watching import AttentionCall, note
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.rotary_positions import rotate


class LearnedScale(nn.Module):
    """λ > 0 as softplus of a parameter `raw` (count,)."""

    def __init__(self, count: int, start: float) -> None:
        super().__init__()
        self.start = start
        self.raw = nn.Parameter(torch.empty(count))

    def first_raw(self) -> Tensor:
        """Return the raw value whose softplus is the start: log(exp(start) − 1), float64 ()."""
        start = torch.tensor(self.start, dtype=torch.float64)
        return start + (-torch.expm1(-start)).log()

    def forward(self) -> Tensor:
        """Return λ, (count,), float32 at least: bfloat16 would round it once more."""
        return softplus(widen(self.raw))


class ResidualLinear(nn.Linear):
    """A linear layer without bias whose output adds to the residual stream: it starts smaller."""

    def __init__(self, features: int, dim: int) -> None:
        super().__init__(features, dim, bias=False)


class AttentionContext(NamedTuple):
    """The values that all layers of one forward pass share."""

    rotation: Tensor | None = None
    """Rotations of queries and keys, (batch or 1, time, 1, head_dim/2, 2)."""
    visible: Tensor | None = None
    """The mask that `visibility` returned."""
    token_values: Tensor | None = None
    """The tokens' value embeddings, (batch, time, kv_heads, head_dim)."""
    scale: float | LearnedScale = 1.0
    """λ, or the module that learns one for the whole model."""
    backend: str = "auto"
    output_attentions: bool = False


class DistanceAttention(nn.Module):
    """Multi-head causal attention with the config's metric."""

    def __init__(self, config: DistanceLMConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.metric, self.p = layer, config.metric, config.p
        self.kernel = find_metric(config.metric, config.p).KERNEL
        self.dropout = config.attention_dropout
        self.heads, self.kv_heads = config.num_attention_heads, config.kv_heads
        self.head_dim = config.head_dim
        features = (self.heads + 2 * self.kv_heads) * self.head_dim
        self.qkv = nn.Linear(config.hidden_size, features, bias=False)
        self.out = ResidualLinear(config.hidden_size, config.hidden_size)
        self.value_mix = nn.Parameter(torch.empty(2)) if config.value_embeddings else None
        self.scale = None
        if config.learned_scale and config.scale_per == "head":
            self.scale = LearnedScale(self.heads, config.scale)

    def forward(
        self, hidden: Tensor, context: AttentionContext, past_key_values: Cache | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return outputs (batch, time, dim); on request, weights (batch, heads, time, time_k)."""
        queries, keys, values = self.project(hidden, context)
        # (batch, heads, time, head_dim), and (batch, kv_heads, time, head_dim) twice
        scale = context.scale if self.scale is None else self.scale
        scale = scale() if isinstance(scale, LearnedScale) else scale
        dtype = values.dtype
        queries, keys, values, factor = prepare(queries, keys, values, self.metric, scale, self.p)
        if past_key_values is not None:
            keys, values = past_key_values.update(keys, values, self.layer)
            # (batch, kv_heads, time_k, head_dim); keys are cached once they are prepared
        weights, visible = None, context.visible
        dropout_p = self.dropout if self.training else 0.0
        if context.output_attentions:
            request = describe(
                queries, keys, values, self.kernel, factor, self.p, True, dropout_p, visible
            )
            note(AttentionCall(queries, keys, self.kernel, factor, self.p, True, visible))
            mixed, weights = attend_with_weights(queries, keys, values, request, visible)
        else:
            mixed = attend_prepared(
                queries,
                keys,
                values,
                kernel=self.kernel,
                factor=factor,
                p=self.p,
                dropout_p=dropout_p,
                key_padding=visible,
                backend=context.backend,
            )
        # A cache holds values in the dtype of keys, which a learned λ widens.
        return self.out(mixed.transpose(1, 2).flatten(2).to(dtype)), weights

    def project(self, hidden: Tensor, context: AttentionContext) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries (batch, heads, time, head_dim), keys and values (batch, kv_heads, …)."""
        heads, kv_heads = self.heads, self.kv_heads
        features = self.qkv(hidden).unflatten(-1, (-1, self.head_dim))
        # (batch, time, heads + 2 · kv_heads, head_dim)
        if context.rotation is None:
            queries, keys, values = features.split((heads, kv_heads, kv_heads), dim=2)
        else:
            # Queries and keys lie side by side, so one product turns both.
            turning, values = features.split((heads + kv_heads, kv_heads), dim=2)
            queries, keys = rotate(turning, context.rotation).split((heads, kv_heads), dim=2)
        if self.value_mix is not None and context.token_values is not None:
            own, token = self.value_mix.to(values.dtype)
            values = own * values + token * context.token_values.to(values.dtype)
        return queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, config: DistanceLMConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.hidden_size, config.feed_forward_size, bias=False)
        self.out = ResidualLinear(config.feed_forward_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return (batch, time, dim) of (batch, time, dim)."""
        out: Tensor = self.out(gelu(self.up(hidden)))
        return out


class DistanceBlock(GradientCheckpointingLayer):
    """Attention and feed-forward, each on a normalised copy of the residual stream."""

    def __init__(self, config: DistanceLMConfig, layer: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.attention_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps, bias=False)
        self.attention = DistanceAttention(config, layer)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps, bias=False)
        self.feed_forward = FeedForward(config)

    def forward(
        self, hidden: Tensor, context: AttentionContext, past_key_values: Cache | None = None
    ) -> Tensor:
        """Return the residual stream after this block, (batch, time, dim)."""
        mixed, _ = self.attention(self.attention_norm(hidden), context, past_key_values)
        hidden = hidden + self.drop(mixed)
        return hidden + self.drop(self.feed_forward(self.feed_forward_norm(hidden)))

    def drop(self, branch: Tensor) -> Tensor:
        """Return the branch with dropout in training."""
        return dropout(branch, self.dropout) if self.dropout and self.training else branch
