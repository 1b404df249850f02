"""The yardstick: a GPT-2 as nanoGPT writes it, with the attention left open.

Source: Karpathy, nanoGPT, model.py; without biases and dropout, as its small recipes have it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


def flash(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Compute dot-product attention as nanoGPT computes it, (batch, heads, time, head dim)."""
    return F.scaled_dot_product_attention(queries, keys, values, is_causal=True)


def naive_l1(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Compute l1 attention by the obvious broadcast: (time, time, head dim) for each head."""
    gaps = (queries.unsqueeze(-2) - keys.unsqueeze(-3)).abs().sum(-1)
    scores = -gaps / queries.shape[-1] ** 0.5
    hidden = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(hidden, -torch.inf).softmax(-1) @ values


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, dim: int, heads: int, attend: Attend) -> None:
        super().__init__()
        self.heads, self.attend = heads, attend
        self.c_attn = nn.Linear(dim, 3 * dim, bias=False)
        self.c_proj = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, time, dim) of the same shape."""
        batch, time, dim = x.shape
        parts = self.c_attn(x).split(dim, dim=2)
        q, k, v = (
            p.view(batch, time, self.heads, dim // self.heads).transpose(1, 2) for p in parts
        )
        y = self.attend(q, k, v)
        return self.c_proj(y.transpose(1, 2).contiguous().view(batch, time, dim))


class Block(nn.Module):
    """Attention and feed-forward with pre-norm."""

    def __init__(self, dim: int, heads: int, attend: Attend) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(dim, bias=False), nn.LayerNorm(dim, bias=False)
        self.attn = Attention(dim, heads, attend)
        self.c_fc = nn.Linear(dim, 4 * dim, bias=False)
        self.c_proj = nn.Linear(4 * dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, time, dim) of the same shape."""
        x = x + self.attn(self.ln_1(x))
        return x + self.c_proj(F.gelu(self.c_fc(self.ln_2(x))))


class GPT(nn.Module):
    """The language model: its forward is the loss of (batch, time) ids and targets."""

    def __init__(
        self, vocab: int, dim: int, layers: int, heads: int, time: int, tied: bool, attend: Attend
    ) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab, dim), nn.Embedding(time, dim)
        self.h = nn.ModuleList(Block(dim, heads, attend) for _ in range(layers))
        self.ln_f = nn.LayerNorm(dim, bias=False)
        self.lm_head = nn.Linear(dim, vocab, bias=False)
        if tied:
            self.wte.weight = self.lm_head.weight
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                std = 0.02 / (2 * layers) ** 0.5 if name.endswith("c_proj.weight") else 0.02
                nn.init.normal_(parameter, std=std)

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss in nats."""
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1], device=ids.device))
        for block in self.h:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
