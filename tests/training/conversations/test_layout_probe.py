"""Conversations are packed where the model's predictions allow it, and nowhere else."""

from __future__ import annotations

import logging

import pytest
import torch
from torch import nn
from transformers import MistralConfig, MistralForCausalLM

from infinito.config import MemoryConf
from infinito.data.conversations.conversation import TokenizedConversation
from infinito.models.memory.model import with_memory
from infinito.training.conversations.layout_probe import choose_layout
from tests.preferences.pair_models import make

IDS = torch.randint(2, 30, (40,), generator=torch.Generator().manual_seed(0)).tolist()
TALKS = [
    TokenizedConversation(IDS[:length], (length // 2, length - 1), 2, row)
    for row, length in enumerate((9, 24, 12, 5))
]


@pytest.mark.parametrize("name", ["llama", "gpt2", "distance_dot", "distance_l1"])
def test_conversations_are_packed_for_ordinary_models(name: str) -> None:
    assert choose_layout(make(name), TALKS).name == "packed"


def test_a_window_that_a_mask_would_undo_is_not_packed(caplog: pytest.LogCaptureFixture) -> None:
    config = MistralConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        vocab_size=32,
        num_attention_heads=2,
        num_key_value_heads=2,
        sliding_window=8,
    )
    model = MistralForCausalLM(config)
    with caplog.at_level(logging.WARNING):
        assert choose_layout(model, TALKS).name == "padded"
    assert "laid out as `padded`, not `packed`: packed: attention is limited to 8" in caplog.text


def test_a_memory_reads_no_padding_and_no_other_conversation() -> None:
    model = with_memory(make("llama"), MemoryConf(name="integration", segment=8, slots=4, top_k=2))
    assert choose_layout(model, TALKS[:3]).name == "masked"


def test_a_model_that_reads_across_a_block_mask_is_not_packed() -> None:
    """A layer that shifts states by one, as a convolution does."""
    model = make("llama")
    inner = model.model.layers[0].mlp

    class Shifted(nn.Module):
        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return inner(hidden) + nn.functional.pad(hidden, (0, 0, 1, 0))[:, :-1]

    model.model.layers[0].mlp = Shifted()
    assert choose_layout(model, TALKS).name == "padded"


def test_a_layout_that_is_named_is_taken() -> None:
    assert choose_layout(make("llama"), TALKS, "padded").name == "padded"
