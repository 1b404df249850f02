"""A small DistanceLM for tests: its weights, inputs and logits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, StaticCache

from infinito.attention import METRICS
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.model import DistanceLMForCausalLM

VOCAB = 29
POSITIONS = ("rotary", "learned")
every_attention = pytest.mark.parametrize("metric", METRICS)
every_position = pytest.mark.parametrize("position", POSITIONS)


def build(metric: str = "l1", **settings: Any) -> DistanceLMForCausalLM:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "vocab_size": VOCAB,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 16,
        "initializer_range": 0.5,
        "p": 3.0 if metric == "lp" else None,
    }
    return DistanceLMForCausalLM(DistanceLMConfig(metric=metric, **{**sizes, **settings})).eval()


def tokens(batch: int = 2, time: int = 12, seed: int = 0) -> Tensor:
    return torch.randint(VOCAB, (batch, time), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def logits(model: DistanceLMForCausalLM, ids: Tensor, **inputs: object) -> Tensor:
    return model(ids, use_cache=False, **inputs).logits


def new_cache(cache: type, model: DistanceLMForCausalLM) -> DynamicCache | StaticCache:
    longest = {"max_cache_len": 16} if cache is StaticCache else {}
    return cache(config=model.config, **longest)
