"""Copies of the small models, and token ids for them."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.models.pretrained.small_models import CONFIGS, TIME, VOCAB, Make


@pytest.fixture(scope="module")
def make() -> Make:
    """Makes copies of a small model, always the same one for a name."""
    made: dict[str, PreTrainedModel] = {}

    def model(name: str) -> PreTrainedModel:
        if name not in made:
            torch.manual_seed(0)
            config = copy.deepcopy(CONFIGS[name])
            made[name] = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
            assert made[name].config._attn_implementation == "eager"
        return copy.deepcopy(made[name]).eval()

    return model


@pytest.fixture(scope="module")
def ids() -> Tensor:
    """Token ids (2, TIME)."""
    return torch.randint(VOCAB, (2, TIME), generator=torch.Generator().manual_seed(1))
