"""A warm-up teaches what the sequences hold, repeats itself, and does not learn padding."""

from __future__ import annotations

import math

import pytest
import torch

from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.model import DistanceLMForCausalLM
from infinito.preferences.warm_up import IGNORED, pad_sequences, warm_up

SEQUENCES = [[1, 2, 3, 4, 5], [1, 3, 5], [2, 2]]


def made() -> DistanceLMForCausalLM:
    torch.manual_seed(0)
    return DistanceLMForCausalLM(
        DistanceLMConfig(
            vocab_size=7,
            hidden_size=16,
            num_hidden_layers=1,
            intermediate_size=32,
            num_attention_heads=2,
            metric="dot",
            max_position_embeddings=8,
        )
    )


def warmed(steps: int, seed: int = 0) -> tuple[DistanceLMForCausalLM, float]:
    model = made()
    loss = warm_up(model, SEQUENCES, steps=steps, lr=1e-2, batch_size=2, seed=seed)
    return model, loss


def test_padding_is_no_target() -> None:
    inputs, targets = pad_sequences(SEQUENCES, torch.device("cpu"))
    assert inputs.tolist() == [[1, 2, 3, 4], [1, 3, 0, 0], [2, 0, 0, 0]]
    assert targets.tolist() == [[2, 3, 4, 5], [3, 5, IGNORED, IGNORED], [2, *[IGNORED] * 3]]


def test_it_learns_the_sequences_and_repeats_itself() -> None:
    first, loss = warmed(120)
    assert loss < 0.5 < math.log(7)
    again, same = warmed(120)
    assert same == loss
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    assert warmed(120, seed=1)[1] != loss


def test_no_step_changes_nothing() -> None:
    model, loss = warmed(0)
    assert math.isnan(loss)
    for one, other in zip(model.parameters(), made().parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("batch_size", [1, 3, 99])
def test_batches_may_be_of_any_size(batch_size: int) -> None:
    loss = warm_up(made(), SEQUENCES, steps=3, lr=1e-2, batch_size=batch_size, seed=0)
    assert math.isfinite(loss)
