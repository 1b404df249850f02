"""Frozen weights cost no gradient of their own: the arithmetic of a backward pass is counted."""

from __future__ import annotations

from typing import Any

import pytest
from torch.utils.flop_counter import FlopCounterMode

from infinito.models.pretrained.lora import LoraSettings, add_lora
from infinito.preferences.scoring.answer_scores import score_answers
from infinito.preferences.scoring.layouts import arrange
from tests.preferences.pair_models import make, random_pairs


def count_ratio(model: Any) -> float:
    """Return the operations of the backward pass over those of the forward pass."""
    batch = arrange(random_pairs(4), "shared")
    with FlopCounterMode(display=False) as forward:
        loss = score_answers(model, batch).log_probs.sum()
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    return backward.get_total_flops() / forward.get_total_flops()


@pytest.mark.parametrize("tied", [False, True])
def test_adapters_cost_the_gradients_of_hidden_states_alone(tied: bool) -> None:
    """All gradients cost twice the forward pass; those of hidden states alone once."""
    sizes: dict[str, Any] = {
        "hidden_size": 128,
        "intermediate_size": 512,
        "tie_word_embeddings": tied,
    }
    model = make("llama", **sizes)
    assert 1.8 < count_ratio(model) < 2.3
    model = make("llama", **sizes).requires_grad_(False)
    add_lora(model, LoraSettings(rank=1, target_modules=("all-linear",)))
    assert 0.8 < count_ratio(model) < 1.2
