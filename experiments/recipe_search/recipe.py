"""A small language model whose every part is an option: what the study compares.

The options that pay are options of infinito's own model and optimizer; the others live here only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infinito.attention.functional import distance_attention
from infinito.models.distance_lm.bigram_embeddings import BigramEmbeddings, previous_tokens
from infinito.models.distance_lm.rotary_positions import rotate, rotations
from infinito.objectives.language import cross_entropy


@dataclass(frozen=True)
class Recipe:
    """One way to train; the defaults are `optimizer=adamw` at the rate that suits it."""

    metric: str = "dot"
    dim: int = 128
    layers: int = 4
    heads: int = 4
    vocab: int = 2048
    batch: int = 16
    block: int = 128
    precision: str = "float32"
    optimizer: str = "adamw"
    lr: float = 3e-3
    matrix_lr: float = 0.02
    weight_decay: float = 0.1
    schedule: str = "cosine"
    decay_share: float = 0.4
    min_ratio: float = 0.0
    warmup_steps: int = 50
    dropout: float = 0.0
    norm: str = "layer"
    """"layer" or "rms"."""
    qk_norm: bool = False
    """Queries and keys of root mean square 1."""
    activation: str = "gelu"
    """"gelu", "relu2" (squared ReLU) or "swiglu" (of equal parameters)."""
    zero_init: bool = False
    """Layers that add to the residual stream start at zero, not at 1 / (2 · layers)."""
    tied: bool = True
    """The head shares the embedding's weights."""
    soft_cap: float = 0.0
    """Logits are cap · tanh(logits / cap); 0 for no cap."""
    value_residual: bool = False
    """Each layer mixes its values with the first layer's, by two learned numbers."""
    learned_scale: bool = False
    """Each head learns its λ."""
    value_embeddings: bool = False
    """Tokens have a second embedding, which each layer mixes into its values."""
    bigrams: int = 0
    """Rows of a hashed table of embeddings for pairs of neighbouring tokens."""
    token_shift: bool = False
    """Each branch reads its input and that of the token before, times a learned vector."""
    embedding_residual: bool = False
    """Each block reads a learned mixture of the residual stream and the embedding."""

    @classmethod
    def parse(cls, words: str) -> Recipe:
        """Return the recipe of "key=value key=value"."""
        kinds: dict[str, Any] = {entry.name: type(entry.default) for entry in fields(cls)}
        pairs = dict(word.split("=", 1) for word in words.split())
        as_bool = {"true": True, "false": False}
        values: dict[str, Any] = {
            key: as_bool[value] if kinds[key] is bool else kinds[key](value)
            for key, value in pairs.items()
        }
        return cls(**values)


class Model(nn.Module):
    """The language model of a recipe; `forward` returns the mean loss, in nats per token."""

    def __init__(self, recipe: Recipe, vocab: int) -> None:
        super().__init__()
        self.recipe = recipe
        dim = recipe.dim
        self.embedding = nn.Embedding(vocab, dim)
        nn.init.normal_(self.embedding.weight, std=0.5 / math.sqrt(dim))
        if recipe.bigrams:
            self.bigrams = BigramEmbeddings(recipe.bigrams, dim)
            nn.init.zeros_(self.bigrams.weight)
        if recipe.value_embeddings:
            self.value_embeddings = nn.Embedding(vocab, dim)
            nn.init.normal_(self.value_embeddings.weight, std=0.5 / math.sqrt(dim))
        if recipe.embedding_residual:
            self.mix = nn.Parameter(torch.tensor([[1.0, 0.0]] * recipe.layers))
        self.blocks = nn.ModuleList(Block(recipe, layer) for layer in range(recipe.layers))
        self.norm = build_norm(recipe)
        self.head = nn.Linear(dim, vocab, bias=False)
        nn.init.normal_(self.head.weight, std=0.5 / math.sqrt(dim))
        if recipe.tied:
            self.head.weight = self.embedding.weight
        table = rotations(torch.arange(recipe.block), dim // recipe.heads, 10_000.0)
        self.register_buffer("rotation", table[None, :, None])

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        hidden = self.drop(self.embedding(inputs))
        if self.recipe.bigrams:
            hidden = hidden + self.bigrams.embed(inputs, previous_tokens(inputs))
        start = hidden
        first_values: Tensor | None = None
        if self.recipe.value_embeddings:
            first_values = self.value_embeddings(inputs).unflatten(-1, (self.recipe.heads, -1))
        for layer, block in enumerate(self.blocks):
            if self.recipe.embedding_residual:
                hidden = self.mix[layer, 0] * hidden + self.mix[layer, 1] * start
            hidden, values = block(hidden, self.rotation, first_values)
            if first_values is None and self.recipe.value_residual:
                first_values = values
        logits = self.head(self.norm(hidden))
        if cap := self.recipe.soft_cap:
            logits = cap * torch.tanh(logits.float() / cap)
        return cross_entropy(logits, targets)

    def drop(self, hidden: Tensor) -> Tensor:
        return F.dropout(hidden, self.recipe.dropout, self.training)


class Block(nn.Module):
    """Attention and feed-forward of a recipe."""

    def __init__(self, recipe: Recipe, layer: int) -> None:
        super().__init__()
        self.recipe = recipe
        dim = recipe.dim
        gated = recipe.activation == "swiglu"
        width = 4 * dim if not gated else 8 * dim // 3
        self.attention_norm, self.feed_forward_norm = build_norm(recipe), build_norm(recipe)
        self.qkv = linear(dim, 3 * dim)
        self.out = residual_linear(dim, dim, recipe)
        self.up = linear(dim, width * (2 if gated else 1))
        self.down = residual_linear(width, dim, recipe)
        if recipe.token_shift:
            self.shifts = nn.Parameter(torch.zeros(2, dim))
        if recipe.value_embeddings or (recipe.value_residual and layer):
            self.mix = nn.Parameter(torch.tensor([0.5, 0.5]))
        if recipe.learned_scale:
            self.raw_scale = nn.Parameter(torch.full((recipe.heads,), math.log(math.e - 1)))

    def forward(
        self, hidden: Tensor, rotation: Tensor, first_values: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        mixed, values = self.attend(self.attention_norm(hidden), rotation, first_values)
        hidden = hidden + self.drop(self.out(mixed))
        return hidden + self.drop(self.feed_forward(self.feed_forward_norm(hidden))), values

    def attend(
        self, hidden: Tensor, rotation: Tensor, first_values: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        recipe = self.recipe
        features = self.qkv(self.with_neighbour(hidden, 0)).unflatten(-1, (3 * recipe.heads, -1))
        turning, values = features.split((2 * recipe.heads, recipe.heads), dim=2)
        if recipe.qk_norm:
            turning = F.rms_norm(turning, turning.shape[-1:])
        queries, keys = rotate(turning, rotation[:, : hidden.shape[1]]).chunk(2, dim=2)
        own_values = values
        if first_values is not None:
            values = self.mix[0] * values + self.mix[1] * first_values
        mixed = distance_attention(
            queries.transpose(1, 2),
            keys.transpose(1, 2),
            values.transpose(1, 2),
            metric=recipe.metric,
            scale=F.softplus(self.raw_scale) if recipe.learned_scale else 1.0,
        )
        return mixed.transpose(1, 2).flatten(2), own_values

    def feed_forward(self, hidden: Tensor) -> Tensor:
        hidden = self.up(self.with_neighbour(hidden, 1))
        match self.recipe.activation:
            case "relu2":
                return self.down(F.relu(hidden).square())
            case "swiglu":
                gate, value = hidden.chunk(2, dim=-1)
                return self.down(F.silu(gate) * value)
            case _:
                return self.down(F.gelu(hidden))

    def with_neighbour(self, hidden: Tensor, branch: int) -> Tensor:
        if not self.recipe.token_shift:
            return hidden
        return hidden + self.shifts[branch] * F.pad(hidden[:, :-1], (0, 0, 1, 0))

    def drop(self, branch: Tensor) -> Tensor:
        return F.dropout(branch, self.recipe.dropout, self.training)


def build_norm(recipe: Recipe) -> nn.Module:
    """Return the normalisation of a recipe, with a gain and without a bias."""
    if recipe.norm == "rms":
        return nn.RMSNorm(recipe.dim, eps=1e-5)
    return nn.LayerNorm(recipe.dim, bias=False)


def linear(inputs: int, outputs: int) -> nn.Linear:
    """Return a layer whose outputs are as large as its inputs, initialised as DistanceLM's are."""
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, std=1 / math.sqrt(inputs))
    return layer


def residual_linear(inputs: int, outputs: int, recipe: Recipe) -> nn.Linear:
    """Return a layer that adds to the residual stream, 2 · layers times smaller at first or 0."""
    layer = linear(inputs, outputs)
    with torch.no_grad():
        layer.weight.mul_(0.0 if recipe.zero_init else 1 / (2 * recipe.layers))
    return layer
