"""Gradients and moments in bytes, and the refusal where they do not fit."""

from __future__ import annotations

import pytest

from infinito.config import AdamWConf, MuonConf
from infinito.errors import ConfigError
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.model import DistanceLMForCausalLM
from infinito.training.length import memory_need
from infinito.training.length.memory_need import MIB, check_memory, predict_step_mib

MODEL = DistanceLMForCausalLM(
    DistanceLMConfig(vocab_size=1000, hidden_size=8, num_hidden_layers=1, tie_word_embeddings=True)
)
COUNT = MODEL.num_parameters()
SHARED = 8000
"""Numbers of the weight that embedding and head share, the largest."""


@pytest.mark.parametrize(
    ("settings", "numbers"),
    [
        (AdamWConf(), 3 * COUNT + SHARED),
        (AdamWConf(in_backward=True), 2 * COUNT + 2 * SHARED),
        (AdamWConf(in_backward=True, moments="bfloat16"), COUNT + 2 * SHARED),
        (AdamWConf(moments="bfloat16"), 2 * COUNT + SHARED),
        (MuonConf(), 2 * COUNT + SHARED),
    ],
)
def test_numbers_of_four_bytes(settings: AdamWConf, numbers: int) -> None:
    assert predict_step_mib(MODEL, settings) == pytest.approx(4 * numbers / MIB)


@pytest.mark.parametrize("settings", [AdamWConf(), AdamWConf(in_backward=True), MuonConf()])
def test_a_model_of_which_nothing_trains_holds_nothing_more(settings: AdamWConf) -> None:
    frozen = DistanceLMForCausalLM(MODEL.config).requires_grad_(False)
    assert predict_step_mib(frozen, settings) == 0


def test_what_does_not_fit_is_refused_with_what_takes_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory_need, "available_mib", lambda: 0.08)
    with pytest.raises(ConfigError, match=r"reference=precomputed.*in_backward=true.*moments="):
        check_memory(MODEL, AdamWConf(), copies=1)
    with pytest.raises(ConfigError, match=r"0 MiB free. What takes less: `model.trainable=lora`"):
        check_memory(MODEL, MuonConf())


@pytest.mark.parametrize("free", [1.0, None])
def test_what_fits_or_cannot_be_known_passes(
    monkeypatch: pytest.MonkeyPatch, free: float | None
) -> None:
    monkeypatch.setattr(memory_need, "available_mib", lambda: free)
    check_memory(MODEL, AdamWConf())
